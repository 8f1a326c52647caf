"""What a project's answers took, as numbers and as tables for spreadsheets, and its monthly statements."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import Response as Plain

from edge.errors import Refused, invalid
from edge.rest.answers import Answer
from edge.rest.fields import IdInPath, Text
from edge.rest.money import sees_money
from edge.rest.openapi import refusals
from edge.rest.services import Caller, ServicesOf
from infra import statements
from schemas.frames import ErrorCode

router = APIRouter(tags=["money"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND, ErrorCode.INVALID))

LONGEST: Final = timedelta(days=366)
MOST_ROWS: Final = 10_000
"""Of one answer: what has more is asked for in parts."""
_BY_DEFAULT: Final = timedelta(days=30)
_CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
}
_GROUP: Final = r"^(day|user|agent)(,(day|user|agent)){0,2}$"

_WHEN: Final = "A day (`2026-11-23`, which begins by UTC) or a time as RFC 3339 has it."


class UsageRow(Answer):
    """What some answers took; null: of all days, people or agents. `charged_micros` of `cost_micros` were taken from
    the wallet. `estimated_runs` are those whose provider told no usage."""

    day: str | None
    user_id: str | None
    agent_id: str | None
    runs: int
    estimated_runs: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_micros: int
    charged_micros: int
    currency: str


class UsageReport(Answer):
    """Answers that ended from `starts_at` to before `ends_at`; `total` has one row for each currency."""

    starts_at: datetime
    ends_at: datetime
    group_by: list[str]
    data: list[UsageRow]
    total: list[UsageRow]


class Charged(Answer):
    """What an agent's answers were charged in the month."""

    agent_id: str
    runs: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charged_micros: int


class Statement(Answer):
    """`opening` + `credit` - `charged` + `reversed` = `closing`. `late_micros` of `charged_micros` are for answers that
    ended in an earlier month. Once it has `ended` nothing of it changes."""

    month: str
    currency: str
    opening_micros: int
    credit_micros: int
    charged_micros: int
    late_micros: int
    reversed_micros: int
    closing_micros: int
    charges: list[Charged]
    ended: bool


class Months(Answer):
    """Those that have a statement, newest first."""

    data: list[str]


@router.get("/v1/projects/{project_id}/usage", responses=_CSV, response_model=UsageReport)
async def usage(
    services: ServicesOf,
    caller: Caller,
    request: Request,
    project_id: IdInPath,
    from_: Annotated[Text | None, Query(alias="from", max_length=40, description=_WHEN)] = None,
    to: Annotated[Text | None, Query(max_length=40, description=_WHEN)] = None,
    group_by: Annotated[str, Query(pattern=_GROUP, description="Of `day`, `user`, `agent`, with commas.")] = "day",
) -> UsageReport | Response:
    """What answers took, by UTC, the last 30 days where nothing is said; with `Accept: text/csv` a table. Every member
    may see it."""
    await sees_money(services, caller.user_id, project_id)
    end = _moment("to", to) or datetime.now(UTC)
    start = _moment("from", from_) or end - _BY_DEFAULT
    if not start < end <= start + LONGEST:
        raise invalid(**{"from": f"must be before `to`, by {LONGEST.days} days at most"})
    groups = group_by.split(",")
    async with services.reading() as connection:
        rows = await statements.usage(connection, project_id, start, end, groups, MOST_ROWS + 1)
    if len(rows) > MOST_ROWS:
        raise invalid(group_by=f"has more than {MOST_ROWS} rows: ask for a shorter time, or group by less")
    shown = [UsageRow(**asdict(row)) for row in rows]
    if _wants_csv(request):
        return _table(
            f"usage-{project_id}.csv", list(UsageRow.model_fields), (row.model_dump().values() for row in shown)
        )
    return UsageReport(
        starts_at=start,
        ends_at=end,
        group_by=groups,
        data=shown,
        total=[UsageRow(**asdict(row)) for row in statements.together(rows)],
    )


@router.get("/v1/projects/{project_id}/statements")
async def months(services: ServicesOf, caller: Caller, project_id: IdInPath) -> Months:
    """From the month of the first entry to this one. Every member may see them."""
    await sees_money(services, caller.user_id, project_id)
    async with services.reading() as connection:
        first = await statements.first_month(connection, project_id)
    found = []
    month = datetime.now(UTC).strftime("%Y-%m")
    while first is not None and month >= first.strftime("%Y-%m"):
        found.append(month)
        month = (_first_of(month) - timedelta(days=1)).strftime("%Y-%m")
    return Months(data=found)


@router.get("/v1/projects/{project_id}/statements/{month}", responses=_CSV, response_model=Statement)
async def statement(
    services: ServicesOf, caller: Caller, request: Request, project_id: IdInPath, month: Text
) -> Statement | Response:
    """What was booked in a month, by UTC; with `Accept: text/csv` a table."""
    await sees_money(services, caller.user_id, project_id)
    starts_at = _first_of(month)
    ends_at = (starts_at + timedelta(days=32)).replace(day=1)
    async with services.reading() as connection:
        found = await statements.statement(connection, project_id, starts_at, ends_at)
    if found is None or starts_at > datetime.now(UTC):
        raise Refused(ErrorCode.NOT_FOUND)
    shown = Statement.model_validate(asdict(found) | {"month": month})
    if not _wants_csv(request):
        return shown
    lines: list[Sequence[object]] = [
        ("opening", None, None, None, None, None, shown.opening_micros),
        ("credit", None, None, None, None, None, shown.credit_micros),
        *(
            ("charge", c.agent_id, c.runs, c.input_tokens, c.cached_input_tokens, c.output_tokens, -c.charged_micros)
            for c in shown.charges
        ),
        ("reversed", None, None, None, None, None, shown.reversed_micros),
        ("closing", None, None, None, None, None, shown.closing_micros),
    ]
    names = ["entry", "agent_id", "runs", "input_tokens", "cached_input_tokens", "output_tokens", "amount_micros"]
    return _table(
        f"statement-{month}-{project_id}.csv", [*names, "currency"], ([*line, shown.currency] for line in lines)
    )


def _moment(name: Literal["from", "to"], text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(**{name: "must be a day or a time, such as 2026-11-23 or 2026-11-23T12:00:00Z"}) from None


def _first_of(month: str) -> datetime:
    """Raises `Refused` where there is no such month."""
    try:
        found = date.fromisoformat(f"{month}-01")
        if len(month) != len("2026-11") or not date.min.year < found.year < date.max.year:
            raise ValueError(month)
    except ValueError:
        raise Refused(ErrorCode.NOT_FOUND) from None
    return datetime(found.year, found.month, 1, tzinfo=UTC)


def _wants_csv(request: Request) -> bool:
    return "text/csv" in request.headers.get("Accept", "")


def _table(name: str, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> Plain:
    """Ids, numbers and words of ours: nothing in it was written by anybody, so nothing in it is a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return Plain(
        text.getvalue(),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
