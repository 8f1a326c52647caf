"""Every setting that the code reads is in the documentation."""

import re
from pathlib import Path

NOT_SET_BY_PEOPLE = {
    "CHORUS_BORROWED_OPENMP",  # a process tells itself, when it starts itself anew
    "CHORUS_COMPLETE",  # set by the shell's completion
}
CODE = ("agents", "edge", "infra", "schemas", "streams")


def names(text: str) -> set[str]:
    return set(re.findall(r"CHORUS_[A-Z0-9_]*[A-Z0-9]\b", text))


def test_settings_are_documented(repository: Path) -> None:
    """Whoever runs Chorus finds each of them, with what it means, without reading code."""
    read = {name for folder in CODE for file in (repository / folder).rglob("*.py") for name in names(file.read_text())}
    assert len(read) > 50
    documented = names("".join(file.read_text() for file in (repository / "docs").glob("*.md")))
    assert read - documented - NOT_SET_BY_PEOPLE == set()
