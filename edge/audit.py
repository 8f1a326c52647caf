"""Who did what, from where, and whether it was allowed: the audit log, rows that nobody changes.

The names of events are those of OWASP's logging vocabulary, so that tools that watch logs know them. An entry names
people and things by their ids, and holds no e-mail address, no text of a message and no secret: what outlives a person
then says nothing about them. The database refuses to change or remove an entry; the two exceptions are the address that
an erased person came from, and entries older than `KEPT`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import structlog

from schemas.ids import new_id

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

log = structlog.get_logger(__name__)

KEPT: Final = timedelta(days=400)
"""How long an entry stays: a year, and a month to look at it. The database allows no earlier removal."""
LONGEST: Final = 200
"""Characters of one value; what is longer is cut."""

Value: TypeAlias = str | int | float | bool | None


class Event(StrEnum):
    """OWASP's names. What exactly was done, of a `sensitive_…` event, says its `what`."""

    AUTHN_LOGIN_SUCCESS = auto()
    AUTHN_LOGIN_FAIL = auto()
    AUTHN_PASSWORD_CHANGE = auto()
    AUTHN_PASSWORD_CHANGE_FAIL = auto()
    AUTHN_TOKEN_CREATED = auto()
    AUTHN_TOKEN_REVOKED = auto()
    AUTHN_TOKEN_REUSE = auto()
    AUTHN_TOKEN_DELETE = auto()
    AUTHZ_FAIL = auto()
    AUTHZ_CHANGE = auto()
    AUTHZ_ADMIN = auto()
    EXCESS_RATE_LIMIT_EXCEEDED = auto()
    INPUT_VALIDATION_FAIL = auto()
    MALICIOUS_CORS = auto()
    PRIVILEGE_PERMISSIONS_CHANGED = auto()
    SENSITIVE_CREATE = auto()
    SENSITIVE_READ = auto()
    SENSITIVE_UPDATE = auto()
    SENSITIVE_DELETE = auto()
    SEQUENCE_FAIL = auto()
    SESSION_CREATED = auto()
    SESSION_RENEWED = auto()
    SESSION_EXPIRED = auto()
    USER_CREATED = auto()
    USER_UPDATED = auto()
    USER_DELETED = auto()


class Result(StrEnum):
    SUCCESS = auto()
    FAILURE = auto()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from. `address` is the client's, through a trusted proxy the one that it names."""

    address: str | None = None
    request_id: str | None = None


_NOWHERE: Final = Origin()
_origin: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)


@contextmanager
def coming_from(address: str | None, request_id: str | None) -> Iterator[None]:
    """What is recorded in this block, and in tasks begun in it, came from there."""
    token = _origin.set(Origin(address, request_id))
    try:
        yield
    finally:
        _origin.reset(token)


_RECORD: Final = """
INSERT INTO audit_log (id, event, result, actor_id, user_id, project_id, address, request_id, what)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb)
"""


async def record(
    connection: "Connection",
    event: Event,
    *,
    actor_id: str | None,
    result: Result = Result.SUCCESS,
    user_id: str | None = None,
    project_id: str | None = None,
    address: str | None = None,
    request_id: str | None = None,
    **what: Value,
) -> None:
    """Add an entry, in the caller's transaction: what is rolled back was not done.

    So a refusal is recorded outside of the transaction that it ends. The entry is told to the process' log, too.

    Args:
        actor_id: who did it; None where that is not known.
        user_id: whom it was done to, where that is somebody else or the actor is not known.
        project_id: whose admins may read it.
        address, request_id: where it came from; by default what the request itself came from.
        what: ids, names of fields and counts; never an e-mail address, a text or a secret.

    Raises:
        one of `infra.postgres.AWAY`
    """
    origin = _origin.get()
    address = printable(address or origin.address)
    request_id = printable(request_id or origin.request_id)
    told = {printable(name): printable(value) if isinstance(value, str) else value for name, value in what.items()}
    await connection.execute(
        _RECORD,
        new_id(),
        event,
        result,
        actor_id,
        user_id,
        project_id,
        address,
        request_id,
        msgspec.json.encode(told).decode(),
    )
    log.info(
        str(event),
        audit=True,
        result=str(result),
        actor_id=actor_id,
        user_id=user_id,
        project_id=project_id,
        address=address,
        what=told,
    )


def printable(text: str | None) -> str | None:
    r"""The text on one line, short, with what cannot be seen written out (`\n`): no entry looks like two."""
    if text is None:
        return None
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:LONGEST])


async def forget_old(db: "asyncpg.Pool[asyncpg.Record] | Connection") -> int:
    """Remove the entries that are older than `KEPT`; how many there were. Raises as `record` does."""
    done = await db.execute("DELETE FROM audit_log WHERE at < now() - $1::interval", KEPT)
    return int(done.rpartition(" ")[2])
