"""Operations that will go (ADR 0032): what their answers and the OpenAPI document say of it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final

NOTICE: Final = timedelta(days=180)
"""From the announcement to the earliest end: two releases a year are enough to keep up."""
_MARK: Final = "x-deprecation"


def deprecated(*, since: datetime, sunset: datetime, see: str) -> dict[str, Any]:
    """Arguments for a route's decorator: `@router.get("/v1/old", **deprecated(…))`.

    Args:
        since: when it was announced.
        sunset: from when on it may answer 404, at least `NOTICE` later.
        see: address of the text that says what to use instead.

    Raises:
        ValueError: the notice is too short.
    """
    if sunset < since + NOTICE:
        raise ValueError(f"an operation stays for {NOTICE.days} days after it is announced that it goes")
    return {
        "deprecated": True,
        "openapi_extra": {_MARK: {"since": since.isoformat(), "sunset": sunset.isoformat(), "see": see}},
    }


def headers(route: object) -> Mapping[str, str]:
    """What every answer of this route says: `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link`."""
    mark = (getattr(route, "openapi_extra", None) or {}).get(_MARK)
    if mark is None:
        return {}
    since, sunset = datetime.fromisoformat(mark["since"]), datetime.fromisoformat(mark["sunset"])
    return {
        "Deprecation": f"@{int(since.timestamp())}",
        "Sunset": format_datetime(sunset.astimezone(UTC), usegmt=True),
        "Link": f'<{mark["see"]}>; rel="deprecation"; type="text/html"',
    }
