"""Backups in the object store: what one is, which there are, and which may go.

`backups/<id>/…` holds the tables, and `backups/<id>/manifest.json`, written last: without it there is no backup. The
log is not in it, but in the archive beside it (`infra.archives`), which every backup is made to reach.
"""

import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from infra.dumps import Table
from infra.objects import Missing, Objects

if TYPE_CHECKING:
    import asyncpg

FOLDER = "backups"
_ID = "%Y%m%dT%H%M%SZ"
_LEFT_BEHIND = timedelta(days=1)
"""Age of a backup without a manifest that is taken for one that was killed, not for one that is being made."""

_DESTROYED = "destroyed-keys"


class NoSuchBackup(LookupError):
    """There is no whole backup of this name."""


class Topic(Struct, frozen=True):
    """A topic as it was; `ends` is the next offset by partition."""

    id: str
    ends: dict[int, int]


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup holds.

    Attributes:
        taken_at: the moment that the tables show.
        chorus: the version that made it.
        revision: the database's schema, as Alembic names it.
        sinks: how far each sink had stored conversation-events, by partition, at that moment.
        archived: how far the archive of conversation-events was made to reach, by partition; never less than `sinks`.
        topics: every topic, a moment later.
        master_key: tells master keys apart, and says nothing else of this one; None where it was not known.
        duration_s: how long it took.
    """

    id: str
    taken_at: datetime
    chorus: str
    revision: str
    sinks: dict[str, dict[int, int]]
    archived: dict[int, int]
    topics: dict[str, Topic]
    tables: list[Table]
    master_key: str | None
    duration_s: float

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def bytes(self) -> int:
        """Size of the tables as text, before compression."""
        return sum(table.bytes for table in self.tables)


def new_id(now: datetime) -> str:
    return now.astimezone(UTC).strftime(_ID)


def folder(backup_id: str) -> str:
    return f"{FOLDER}/{backup_id}"


def fingerprint(master_key: bytes) -> str:
    """Tells master keys apart."""
    return hmac.digest(master_key, b"chorus/backup", "sha256").hex()[:16]


async def write(objects: Objects, manifest: Manifest) -> None:
    """Make a backup, whose tables are there already, one that exists."""
    content = msgspec.json.format(msgspec.json.encode(manifest))
    await objects.put(f"{folder(manifest.id)}/manifest.json", content)


async def find(objects: Objects, backup_id: str) -> Manifest:
    """The backup of this name; `latest` is the newest.

    Raises:
        NoSuchBackup: see there.
        infra.objects.ObjectsError: the store does not answer.
    """
    if backup_id == "latest":
        ids = await names(objects)
        if not ids:
            raise NoSuchBackup(f"There is no backup in {objects.place}.")
        backup_id = ids[-1]
    try:
        return msgspec.json.decode(await objects.get(f"{folder(backup_id)}/manifest.json"), type=Manifest)
    except Missing:
        raise NoSuchBackup(
            f"There is no backup {backup_id} in {objects.place}: `chorus backup list` shows those that are."
        ) from None
    except msgspec.DecodeError as error:
        raise NoSuchBackup(f"The manifest of backup {backup_id} in {objects.place} is damaged: {error}.") from error


async def names(objects: Objects) -> list[str]:
    """The backups that are whole, oldest first."""
    paths = [stored.path.split("/") for stored in await objects.list(FOLDER)]
    return sorted(path[1] for path in paths if path[2:] == ["manifest.json"])


async def every(objects: Objects) -> list[Manifest]:
    """The manifests of all backups, oldest first. Raises as `find` does."""
    return [await find(objects, name) for name in await names(objects)]


async def prune(objects: Objects, keep: int, now: datetime) -> list[str]:
    """Remove all backups but the newest `keep`, and what killed ones have left; the names of what was removed.

    The manifest goes first, so that what is cut off here is no backup any more, and goes the next time.
    """
    whole = await names(objects)
    kept = set(whole[-keep:])
    found: dict[str, list[str]] = {}
    for stored in await objects.list(FOLDER):
        name = stored.path.split("/")[1]
        if name in whole or stored.modified < now - _LEFT_BEHIND:
            found.setdefault(name, []).append(stored.path)
    gone = sorted(found.keys() - kept)
    for name in gone:
        await objects.delete(sorted(found[name], key=lambda path: not path.endswith("/manifest.json")))
    return gone


async def note_destroyed(objects: Objects, database: "asyncpg.Connection[asyncpg.Record]") -> int:
    """Note whose data keys are destroyed, beside the backups that may still hold them; how many are new.

    An object for each person, because two that write one list would lose what the other has found.
    """
    known = set(await destroyed(objects))
    rows = await database.fetch("SELECT user_id::text, destroyed_at FROM data_keys WHERE destroyed_at IS NOT NULL")
    new = [row for row in rows if row["user_id"] not in known]
    for row in new:
        await objects.put(f"{_DESTROYED}/{row['user_id']}", row["destroyed_at"].isoformat().encode())
    return len(new)


async def destroyed(objects: Objects) -> list[str]:
    """The ids of the people whose data keys were destroyed."""
    return [stored.path.rpartition("/")[2] for stored in await objects.list(_DESTROYED)]
