"""What clients send, judged field by field; where a list goes on; how often one address may try."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from edge.errors import Refused
from edge.limits import Rate
from edge.rest.attempts import Attempts, subscriber
from edge.rest.fields import Email, Id, Name, NewPassword, Text
from edge.rest.pages import cursor_of, key_of, page
from edge.rest.settings import ROUTES, RestSettings
from infra.settings import BadSetting
from schemas.frames import ErrorCode

email = TypeAdapter(Email)
name = TypeAdapter(Name)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("ada@example.org", "ada@example.org"),
        ("  Ada.Lovelace+x@Example.ORG ", "ada.lovelace+x@example.org"),
        ("a@b.vn", "a@b.vn"),
        ("Đỗ@ví-dụ.vn", "đỗ@ví-dụ.vn"),
        ("o'brien@example.co.uk", "o'brien@example.co.uk"),
        ("x" * 64 + "@example.org", "x" * 64 + "@example.org"),
    ],
)
def test_addresses_have_one_spelling(given: str, stored: str) -> None:
    """However an address is typed, it is the same account."""
    assert email.validate_python(given) == stored


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ada",
        "@example.org",
        "ada@",
        "ada@localhost",
        "ada@@example.org",
        "a da@example.org",
        "ada@exam ple.org",
        "ada@-example.org",
        "ada@example..org",
        "ada@example.org\n",
        "ada@example.org\nBcc: all@example.org",
        "ada\0@example.org",
        "ada\ud800@example.org",
        "x" * 65 + "@example.org",
        "ada@" + "x" * 64 + ".org",
        "ada@" + "x." * 130 + "org",
    ],
)
def test_what_is_no_address(given: str) -> None:
    """What no mail can be sent to is refused."""
    if given == "ada@example.org\n":
        assert email.validate_python(given) == "ada@example.org"  # white space around it is a slip of the hand
        return
    with pytest.raises(ValidationError):
        email.validate_python(given)


@pytest.mark.parametrize("given", ["", "   ", "a\nb", "a\tb", "a\0b", "\ud83d", "x" * 81])
def test_names_are_one_visible_line(given: str) -> None:
    """A name can be shown anywhere, and in a log."""
    with pytest.raises(ValidationError):
        name.validate_python(given)


def test_names_of_all_languages() -> None:
    """A name is trimmed, composed one way, and otherwise its owner's business."""
    assert name.validate_python(" Nguye\u0302\u0303n Thị Á 👩‍💻 ") == "Nguyễn Thị Á 👩‍💻"


@pytest.mark.parametrize("given", ["1234567", "x" * 257])
def test_passwords_have_8_to_256_characters(given: str) -> None:
    """Neither a guess nor a burden; anything in between is fine."""
    password = TypeAdapter(NewPassword)
    with pytest.raises(ValidationError):
        password.validate_python(given)

    assert password.validate_python("12345678") == "12345678"
    assert password.validate_python("x" * 256) == "x" * 256


@pytest.mark.parametrize("given", ["a\0b", "a\ud800b"])
def test_texts_can_be_stored(given: str) -> None:
    """JSON can carry what neither PostgreSQL nor UTF-8 can."""
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python(given)


@pytest.mark.parametrize(
    "given", ["", "1", "{8f6f4710-1a04-4d13-80d7-98bc1fcf4d7a}", "8f6f47101a044d1380d798bc1fcf4d7a"]
)
def test_ids_have_one_form(given: str) -> None:
    """An id is a UUID in its usual form, in any case."""
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python(given)

    known = "8F6F4710-1a04-4d13-80d7-98bc1fcf4d7a"
    assert TypeAdapter(Id).validate_python(known) == known.lower()


def test_cursors_name_a_place() -> None:
    """A cursor reads back as the time, to the microsecond, and the id that it was made of."""
    key = (datetime(2026, 11, 22, 1, 2, 3, 456789, tzinfo=UTC), str(uuid4()))

    assert key_of(cursor_of(key)) == key


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "AAAA",
        cursor_of((datetime(2026, 11, 22), "no id")),  # noqa: DTZ001
        cursor_of(
            (datetime.max.replace(tzinfo=timezone(-timedelta(hours=12))), "8f6f4710-1a04-4d13-80d7-98bc1fcf4d7a")
        ),
    ],
)
def test_what_is_no_cursor(cursor: str) -> None:
    """A cursor that we did not make is the client's mistake, not ours."""
    with pytest.raises(Refused) as refused:
        key_of(cursor)

    assert refused.value.code == ErrorCode.INVALID


@pytest.mark.parametrize("found", range(8))
def test_pages_end(found: int) -> None:
    """There is a next page exactly when more was found than a page holds."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    things = [(at, str(uuid4())) for _ in range(found)]
    shown = page(things, 3, lambda thing: thing)

    assert shown.data == things[:3]
    assert key_of(shown.next_cursor) == (things[2] if found > 3 else None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_address_may_try_so_often() -> None:
    """As many at once as in a minute; then one each time its share of the minute has passed."""
    clock = Clock()
    attempts = Attempts(Rate(per_s=0.1, burst=6), clock)

    assert [attempts.take("192.0.2.1") for _ in range(7)] == [0] * 6 + [10]
    assert attempts.take("192.0.2.2") == 0
    clock.now = 10
    assert [attempts.take("192.0.2.1") for _ in range(2)] == [0, 10]


def test_what_was_no_guess_does_not_count() -> None:
    """Whoever signs in rightly, however often, is never slowed down."""
    attempts = Attempts(Rate(per_s=0.1, burst=1), Clock())
    for _ in range(10):
        assert attempts.take("192.0.2.1") == 0
        attempts.give_back("192.0.2.1")
    attempts.give_back("192.0.2.1")

    assert [attempts.take("192.0.2.1") > 0 for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_subscribers_are_counted_once(one: str, other: str, same: bool) -> None:
    """One who has 2⁶⁴ addresses has one allowance."""
    assert (subscriber(one) == subscriber(other)) == same


def test_routes_are_chosen() -> None:
    """A process serves the routes that it is told to, all where it is told nothing, and never starts with a slip."""
    assert RestSettings.from_env({}).routes == frozenset(ROUTES)
    assert RestSettings.from_env({"CHORUS_ROUTES": "auth, users"}).routes == {"auth", "users"}
    with pytest.raises(BadSetting, match="usres"):
        RestSettings.from_env({"CHORUS_ROUTES": "auth,usres"})
