"""Writing history's rows: what the live sink and a replay both do, so that they end with the same rows.

Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away, and writes in the caller's transaction.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import structlog
from prometheus_client import Counter

from infra.history import CONVERSATION_COLUMNS
from infra.keyring import Keyring
from schemas import events
from schemas.conversation import ConversationView
from schemas.opened import Opened, opened, owners
from schemas.sealing import CannotUnseal
from streams.projections.history import MESSAGES, PURGED, RUNS, Rows, RunRow, Unfit, run_ids

SINK = "history"
"""Its name in `sink_offsets`."""

LAST_POSITION = 2**63 - 1
"""The highest position that PostgreSQL can hold."""

KEPT = 100_000
"""Conversations, and open runs, that a memory holds at most: about 200 MB."""

Read: TypeAlias = tuple[events.ConversationAdvanced, int, int]
"""A record with its partition and its offset."""

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

log = structlog.get_logger(__name__)

_unfit = Counter("chorus_history_unfit_total", "Records that did not fit the tables, kept in unfit_facts")


@dataclass(frozen=True, slots=True)
class Item:
    """A record on its way to the tables, or why its texts cannot be opened."""

    record: events.ConversationAdvanced
    partition: int
    offset: int
    opened: Opened | CannotUnseal


async def open_texts(keyring: Keyring, records: Sequence[Read]) -> list[Item]:
    """Open the texts of these records with their owners' keys."""
    wanted: set[str] = set()
    for record, _, _ in records:
        try:
            wanted.update(owners(record))
        except CannotUnseal:
            pass  # said again below, where it is kept
    keys = await keyring.keys(wanted)
    items = []
    for record, partition, offset in records:
        content: Opened | CannotUnseal
        try:
            content = opened(record, keys)
        except CannotUnseal as error:
            content = error
        items.append(Item(record, partition, offset, content))
    return items


class Memory:
    """Rows as the last batches left them, for one that writes alone: what is here need not be loaded."""

    def __init__(self) -> None:
        self._conversations: OrderedDict[str, ConversationView] = OrderedDict()
        self._runs: OrderedDict[str, RunRow] = OrderedDict()

    def clear(self) -> None:
        self._conversations.clear()
        self._runs.clear()

    def keep(self, rows: Rows) -> None:
        """Remember the rows of a batch that was written."""
        for conversation_id in rows.changed:
            self._conversations[conversation_id] = rows.conversations[conversation_id]
            self._conversations.move_to_end(conversation_id)
        for run in rows.runs.values():
            if run.ended_at is None:
                self._runs[run.id] = run
                self._runs.move_to_end(run.id)
            else:
                self._runs.pop(run.id, None)
        for kept in (self._conversations, self._runs):
            while len(kept) > KEPT:
                kept.popitem(last=False)

    def conversations(self, ids: Iterable[str]) -> dict[str, ConversationView]:
        return {id: self._conversations[id] for id in ids if id in self._conversations}

    def runs(self, ids: Iterable[str]) -> dict[str, RunRow]:
        return {id: self._runs[id] for id in ids if id in self._runs}


async def write_new(connection: "Connection", topic_id: str, items: list[Item], memory: Memory) -> None:
    """`write`, faster, for one that writes alone: rows that are new are copied in, known ones are not loaded."""
    try:
        async with connection.transaction():
            rows = await _fold(connection, topic_id, items, memory)
    except (Unfit, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
        memory.clear()  # it was changed while it was folded
        await write(connection, topic_id, items)
    except BaseException:
        memory.clear()
        raise
    else:
        memory.keep(rows)


async def write(connection: "Connection", topic_id: str, items: list[Item]) -> None:
    """Store records; halve them again and again around one that does not fit, and keep that as it came."""
    try:
        async with connection.transaction():
            await _fold(connection, topic_id, items)
    except (Unfit, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        unfit = error
    else:
        return
    if len(items) == 1:
        await _put_aside(connection, topic_id, items[0], unfit)
        return
    middle = len(items) // 2
    await write(connection, topic_id, items[:middle])
    await write(connection, topic_id, items[middle:])


async def _fold(connection: "Connection", topic_id: str, items: list[Item], memory: Memory | None = None) -> Rows:
    rows = Rows(*await _load(connection, [item.record for item in items], memory or Memory()))
    odd: list[tuple[Item, str]] = []
    for item in items:
        if rows.has(item.record):
            continue
        if isinstance(item.opened, CannotUnseal):
            raise Unfit(str(item.opened))
        if (what := rows.fold(item.opened)) is not None:
            odd.append((item, what))
    for table in PURGED if rows.purged else ():
        await connection.execute(f"DELETE FROM {table.name} WHERE conversation_id = ANY($1)", list(rows.purged))
    for table, values in rows.writes(copy_new=memory is not None):
        if values and table.conflict:
            await connection.execute(table.upsert(), *zip(*values, strict=True))
        elif values:
            await connection.copy_records_to_table(table.name, records=values, columns=list(table.columns))
    await _forget(connection, rows)
    for item, what in odd:
        await _note(connection, topic_id, item, what)
    return rows


async def _forget(connection: "Connection", rows: Rows) -> None:
    """Delete again what was opened with a key that has been destroyed since: keys are remembered for a while."""
    place = list(MESSAGES.columns).index("owner_id")
    owners = {message[place] for message in rows.messages} | {rows.conversations[id].title_by for id in rows.changed}
    # With their schema, because a replay's connection sees its own tables only.
    gone = await connection.fetch(
        "SELECT user_id FROM public.data_keys WHERE user_id = ANY($1::uuid[]) AND destroyed_at IS NOT NULL",
        [owner for owner in owners if owner is not None],
    )
    if gone:
        users = [row["user_id"] for row in gone]
        await connection.execute(
            """
            UPDATE messages SET content = '', content_deleted = true WHERE id = ANY($1::uuid[]) AND owner_id = ANY($2)
            """,
            [message[0] for message in rows.messages],
            users,
        )
        await connection.execute(
            """
            UPDATE conversations SET title = NULL, title_by = NULL WHERE id = ANY($1::uuid[]) AND title_by = ANY($2)
            """,
            list(rows.changed),
            users,
        )


async def _put_aside(connection: "Connection", topic_id: str, item: Item, error: Exception) -> None:
    """Keep a record that does not fit. Later ones of its conversation go on behind it."""
    await _note(connection, topic_id, item, str(error))
    if item.record.position <= LAST_POSITION:
        await connection.execute(
            "UPDATE conversations SET position = $2 WHERE id = $1 AND position < $2",
            item.record.conversation_id,
            item.record.position,
        )


async def _note(connection: "Connection", topic_id: str, item: Item, error: str) -> None:
    _unfit.inc()
    log.error(
        "record does not fit the tables",
        conversation_id=item.record.conversation_id,
        position=item.record.position,
        partition=item.partition,
        offset=item.offset,
        error=error.partition(":")[0],  # behind it may stand a value, and a text belongs in no log
    )
    await connection.execute(
        """
        INSERT INTO unfit_facts (topic_id, partition, record_offset, record, error) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING
        """,
        topic_id,
        item.partition,
        item.offset,
        events.encode_advanced(item.record).decode(),
        error.replace("\0", ""),
    )


async def _load(
    connection: "Connection", records: list[events.ConversationAdvanced], memory: Memory
) -> tuple[dict[str, ConversationView], dict[str, RunRow]]:
    """The rows that these records touch. Their partition is locked, so nobody else changes them."""
    wanted, touched = {record.conversation_id for record in records}, run_ids(records)
    conversations, runs = memory.conversations(wanted), memory.runs(touched)
    if unknown := wanted - conversations.keys():
        found = await connection.fetch(
            f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE id = ANY($1)", list(unknown)
        )
        conversations |= {row["conversation_id"]: ConversationView(**row) for row in found}
    if missing := touched - runs.keys():
        found = await connection.fetch(f"SELECT {_RUN_ROW} FROM runs WHERE id = ANY($1)", list(missing))
        runs |= {row["id"]: RunRow(*row) for row in found}
    return conversations, runs


_RUN_ROW = ", ".join(f"{n}::text" if kind in ("uuid", "jsonb") else n for n, kind in RUNS.columns.items())
