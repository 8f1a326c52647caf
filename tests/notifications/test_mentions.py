"""Who is mentioned in a text."""

import pytest

from streams.rules.mentions import Person, mentioned

ADA = Person("ada", "Ada", "ada@example.org")
LOVELACE = Person("lovelace", "Ada Lovelace", "ada@example.org.uk")
HOA = Person("hoa", "Nguyễn Thị Hoa", None)
OTHER_HOA = Person("other hoa", "nguyễn thị  hoa", "hoa@example.org")
PEOPLE = (ADA, LOVELACE, HOA, OTHER_HOA)


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("@Ada look", {"ada"}),
        ("look, @ada!", {"ada"}),
        ("(@ADA's)", {"ada"}),
        ("@Ada Lovelace, please", {"lovelace"}),
        ("@Ada\n  Lovelace", {"lovelace"}),
        ("@Ada Lovelacework", {"ada"}),
        ("@Ada and @Ada Lovelace", {"ada", "lovelace"}),
        ("@ada@example.org.", {"ada"}),
        ("@ada@example.org.uk.", {"lovelace"}),
        ("@NGUYỄN THỊ HOA ơi", {"hoa", "other hoa"}),
        ("@Nguye\u0302\u0303n Thi\u0323 Hoa", {"hoa", "other hoa"}),
        ("@hoa@example.org", {"other hoa"}),
        ("Ada", set()),
        ("mail ada@example.org", set()),
        ("x@Ada", set()),
        ("@ Ada", set()),
        ("@Adam @Ada-Maria @Ada.lovelace @Ada@example.com", set()),
        ("@", set()),
        ("", set()),
    ],
)
def test_a_name_counts_whole(text: str, who: set[str]) -> None:
    """Whole names and addresses behind an `@` that begins a word, in any case, with any spaces; the longest wins."""
    assert mentioned(text, PEOPLE) == who


def test_nobody_can_be_mentioned_who_is_not_there() -> None:
    """Only those who are given."""
    assert mentioned("@Ada @hoa@example.org", [HOA]) == set()
