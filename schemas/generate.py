"""Write what is generated from the words: `python -m schemas.generate`.

- `schemas/json/<topic>/<type>/<version>.json`: each event's JSON Schema. A change that old and new readers understand
  makes the next version beside the earlier ones, which stay for ever; another one is refused, with the reasons.
- `docs/asyncapi.yaml`: topics and WebSocket as one AsyncAPI document.
"""

import json
import sys
from pathlib import Path
from typing import Any

from schemas.asyncapi import document
from schemas.compatibility import breaks
from schemas.described import Schema, schema_of
from schemas.topics import TOPICS

ROOT = Path(__file__).parent.parent
VERSIONS = Path("schemas/json")
ASYNCAPI = Path("docs/asyncapi.yaml")


class Incompatible(ValueError):
    """A schema changed in a way that breaks those who read, or wrote, an earlier version."""


def versions(folder: Path) -> list[Path]:
    """The files of one event's schema, oldest first."""
    return sorted(folder.glob("[0-9]*.json"))


def generated(root: Path) -> dict[Path, str]:
    """The files that must stand in the repository at `root`, by path, with their text.

    Raises:
        Incompatible: a schema does not go together with an earlier version of it.
    """
    import yaml  # a tool of developers: no process of ours needs it

    files = {ASYNCAPI: yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)}
    for topic in TOPICS:
        if topic.contract is None:
            continue
        for name, kind in topic.contract.types.items():
            folder = VERSIONS / topic.name / name
            path, schema = _next(root, folder, schema_of(kind))
            files[path] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return files


def _next(root: Path, folder: Path, schema: Schema) -> tuple[Path, Schema]:
    """Where the schema stands: in the last version's file if it says the same, else in the next."""
    earlier = versions(root / folder)
    if earlier and _meaning(json.loads(earlier[-1].read_text())) == _meaning(schema):
        return folder / earlier[-1].name, schema
    for path in earlier:
        if reasons := breaks(json.loads(path.read_text()), schema):
            raise Incompatible(f"{folder} does not go together with {path.name}:\n  " + "\n  ".join(reasons))
    return folder / f"{len(earlier) + 1:04}.json", schema


def _meaning(schema: Any) -> Any:
    """The schema without its prose."""
    if isinstance(schema, dict):
        return {k: _meaning(v) for k, v in schema.items() if not (k == "description" and isinstance(v, str))}
    return [_meaning(item) for item in schema] if isinstance(schema, list) else schema


def main() -> None:
    try:
        files = generated(ROOT)
    except Incompatible as error:
        sys.exit(str(error))
    for path, text in files.items():
        target = ROOT / path
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
