"""Times as a tired person writes them. Pure: the clock is passed in."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

FORMS = "an age such as 15m, 2h or 3d, a time as in RFC 3339 (2026-01-31T08:00:00Z), a day (2026-01-31), or yesterday"


class BadTime(ValueError):
    """No time in a form that is understood; the message says which are."""


def moment_of(text: str, now: datetime) -> datetime:
    """The moment that a text names. A time without a zone is UTC, as everything that is printed; a day is its start.

    Raises:
        BadTime: see there.
    """
    if (ago := _AGO.fullmatch(text)) is not None:
        try:
            return now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    if text in ("today", "yesterday"):
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=text == "yesterday")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadTime(f"{text!r} is no time that is understood: give {FORMS}.") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
