"""PostgreSQL as far as history and the conversations tell it apart: tables, transactions, and locked rows.

It answers the statements that the real code makes, each of which is known here by its beginning; one that is not known
fails the test. A transaction's changes are nobody else's until it commits; one that is cut off never was.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import msgspec

from schemas.conversation import RECENT_CAUSES
from streams.projections.history import CONVERSATIONS, MESSAGES, PURGED, REJECTIONS, REMEMBERED_CANCELS, RUNS
from tests.model.loop import Loop

T = TypeVar("T")
Row = dict[str, Any]
Key = Any
Tables = dict[str, dict[Key, Row]]
Written = dict[str, dict[Key, Row | None]]
"""What a transaction has made of rows; None where they are gone."""

SINK_OFFSETS = "sink_offsets"
_KEYS = {MESSAGES.name: "id", REJECTIONS.name: "message_id", REMEMBERED_CANCELS.name: "run_id"}


class Record(Row):
    """A row as asyncpg gives it: to iterate over it is to iterate over its values."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


def _copy(tables: dict[str, dict[Key, T]]) -> dict[str, dict[Key, T]]:
    return {name: dict(rows) for name, rows in tables.items()}


class Postgres:
    """What is committed.

    Attributes:
        away: whether every statement fails, as while the server restarts.
        committed: who hears of each commit.
    """

    def __init__(self) -> None:
        names = [t.name for t in (CONVERSATIONS, MESSAGES, RUNS, REJECTIONS, REMEMBERED_CANCELS)]
        self.tables: Tables = {name: {} for name in [*names, SINK_OFFSETS]}
        self.away = False
        self.committed: list[Callable[[], None]] = []
        self._locks: dict[Key, Transaction] = {}
        self._waiting: list[asyncio.Future[None]] = []

    def lock(self, keys: Iterable[Key], owner: "Transaction") -> bool:
        wanted = list(keys)
        if owner.over:  # its connection was closed before this statement came through
            return True
        if any(self._locks.get(key, owner) is not owner for key in wanted):
            return False
        self._locks |= dict.fromkeys(wanted, owner)
        return True

    def release(self, owner: "Transaction") -> None:
        self._locks = {key: other for key, other in self._locks.items() if other is not owner}
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def wait(self) -> "asyncio.Future[None]":
        self._waiting.append(asyncio.get_running_loop().create_future())
        return self._waiting[-1]


class Transaction:
    """One connection's transaction. What it writes lies over what is committed."""

    def __init__(self, db: Postgres, snapshot: Tables | None) -> None:
        self.loop = cast(Loop, asyncio.get_running_loop())
        self._db = db
        self._snapshot = snapshot
        self.over = False
        self._written: Written = {name: {} for name in db.tables}

    def rows(self, table: str) -> Mapping[Key, Row]:
        if self._snapshot is not None:
            return self._snapshot[table]
        rows: dict[Key, Row | None] = self._db.tables[table] | self._written[table]
        return {key: row for key, row in rows.items() if row is not None}

    def write(self, table: str, key: Key, row: Row) -> None:
        self._written[table][key] = row

    def delete(self, table: str, key: Key) -> None:
        self._written[table][key] = None

    def insert(self, table: str, key: Key, row: Row) -> None:
        assert key not in self.rows(table), f"{table} has a row {key} already"
        self.write(table, key, row)

    def savepoint(self) -> Written:
        return _copy(self._written)

    def back_to(self, savepoint: Written) -> None:
        self._written = savepoint

    def commit(self) -> None:
        if self.over:
            return
        self.over = True
        for name, written in self._written.items():
            if written:
                self._db.tables[name] = dict(self.rows(name))
        self._db.release(self)
        if any(self._written.values()):
            for heard in self._db.committed:
                heard()

    def roll_back(self) -> None:
        self.over = True
        self._db.release(self)


class Connection:
    """A connection; `transaction()` inside of another is a savepoint."""

    def __init__(self, db: Postgres) -> None:
        self._db = db
        self._open: Transaction | None = None

    @asynccontextmanager
    async def transaction(self, isolation: str = "read_committed", readonly: bool = False) -> AsyncIterator[None]:
        if self._open is not None:
            savepoint = self._open.savepoint()
            try:
                yield
            except Exception:
                self._open.back_to(savepoint)
                raise
            return
        snapshot = await self._ask(lambda: _copy(self._db.tables)) if isolation == "repeatable_read" else None
        self._open = mine = Transaction(self._db, snapshot)
        try:
            yield
            await self._ask(mine.commit)
        finally:
            # Where the process is killed before its COMMIT has come through, or after, this is the end of it.
            mine.roll_back()
            self._open = None

    async def _ask(self, act: Callable[[], T]) -> T:
        def there() -> T:
            if self._db.away:
                raise ConnectionError("the server is away")
            return act()

        return await cast(Loop, asyncio.get_running_loop()).post(there)

    async def _run(self, statement: str, arguments: tuple[Any, ...]) -> list[Any]:
        words = " ".join(statement.split())
        answer = next((act for beginning, act in STATEMENTS.items() if words.startswith(beginning)), None)
        assert answer is not None, f"a statement that the model does not know: {words}"
        autocommit = self._open is None
        tx = Transaction(self._db, None) if self._open is None else self._open
        if words.endswith("FOR UPDATE"):
            sink, topic_id, partitions = arguments
            while not await self._ask(lambda: self._db.lock([(sink, topic_id, p) for p in partitions], tx)):
                await self._db.wait()

        def act() -> list[Any]:
            found = answer(tx, *arguments)
            if autocommit:
                tx.commit()
            return list(found or ())

        return await self._ask(act)

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        return await self._run(statement, arguments)

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        found = await self._run(statement, arguments)
        return found[0] if found else None

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        return await self.fetchrow(statement, *arguments)

    async def execute(self, statement: str, *arguments: Any) -> None:
        await self._run(statement, arguments)

    async def copy_records_to_table(self, table: str, *, records: list[tuple[Any, ...]], columns: list[str]) -> None:
        tx = self._open
        assert tx is not None

        def act() -> None:
            for record in records:
                row = dict(zip(columns, record, strict=True))
                tx.insert(table, row[_KEYS[table]], row)

        await self._ask(act)


class Pool(Connection):
    """A pool; a statement on it is a transaction of its own."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        yield Connection(self._db)


# -- the statements --


def _offsets(tx: Transaction, sink: str, topic_id: str, partitions: Iterable[int] | None = None) -> Iterable[Row]:
    for (of, topic, partition), row in tx.rows(SINK_OFFSETS).items():
        if (of, topic) == (sink, topic_id) and (partitions is None or partition in partitions):
            yield {"partition": partition, "next_offset": row["next_offset"]}


def _begin_offsets(tx: Transaction, sink: str, topic_id: str, partitions: Iterable[int]) -> None:
    for partition in partitions:
        if (sink, topic_id, partition) not in tx.rows(SINK_OFFSETS):
            tx.write(SINK_OFFSETS, (sink, topic_id, partition), {"next_offset": 0})


def _set_offsets(tx: Transaction, sink: str, topic_id: str, partitions: Iterable[int], offsets: Iterable[int]) -> None:
    for partition, offset in zip(partitions, offsets, strict=True):
        tx.write(SINK_OFFSETS, (sink, topic_id, partition), {"next_offset": offset})


def _upsert_conversations(tx: Transaction, *columns: list[Any]) -> None:
    for values in zip(*columns, strict=True):
        row = dict(zip(CONVERSATIONS.columns, values, strict=True))
        new = [cause for cause in row["causes"].strip("{}").split(",") if cause]
        before = tx.rows(CONVERSATIONS.name).get(row["id"])
        if before is None:
            tx.write(CONVERSATIONS.name, row["id"], row | {"causes": new})
        elif before["position"] < row["position"]:
            kept = {name: before[name] for name in ("project_id", "created_by", "created_at")}
            causes = [*before["causes"], *new][-RECENT_CAUSES:]
            tx.write(CONVERSATIONS.name, row["id"], row | kept | {"causes": causes})


def _upsert_runs(tx: Transaction, *columns: list[Any]) -> None:
    for values in zip(*columns, strict=True):
        row = dict(zip(RUNS.columns, values, strict=True))
        tx.write(RUNS.name, row["id"], row)


def _view_row(row: Row) -> Row:
    names = [n for n in CONVERSATIONS.columns if n not in ("id", "causes")]
    return {"conversation_id": row["id"]} | {name: row[name] for name in names}


def _view(tx: Transaction, conversation_id: str) -> Iterable[Row]:
    if (row := tx.rows(CONVERSATIONS.name).get(conversation_id)) is not None:
        runs = _of(tx, RUNS.name, conversation_id)
        names = ("message_id", "question_id", "user_id", "status", "requested_at", "attempt", "keep")
        waiting = [
            {"run_id": run["id"], "agent": msgspec.Raw(run["agent"].encode())} | {name: run[name] for name in names}
            for run in sorted(runs, key=lambda run: (run["status"] == "queued", run["ordinal"]))
            if run["ended_at"] is None
        ]
        yield _view_row(row) | {"runs": msgspec.json.encode(waiting).decode()}


def _of(tx: Transaction, table: str, conversation_id: str) -> list[Row]:
    return [row for row in tx.rows(table).values() if row["conversation_id"] == conversation_id]


def _messages(tx: Transaction, conversation_id: str) -> Iterable[Row]:
    return sorted(_of(tx, MESSAGES.name, conversation_id), key=lambda row: row["position"])


def _texts(tx: Transaction, message_ids: list[str]) -> Iterable[Row]:
    for message_id in message_ids:
        if (row := tx.rows(MESSAGES.name).get(message_id)) is not None:
            yield {"id": message_id, "content": None if row["content_deleted"] else row["content"]}


def _to_purge(tx: Transaction, kept_s: float, limit: int) -> Iterable[Row]:
    now = datetime.fromtimestamp(tx.loop.time(), UTC)
    due = [
        row
        for row in tx.rows(CONVERSATIONS.name).values()
        if row["deleted"] and not row["purged"] and now - row["deleted_at"] > timedelta(seconds=kept_s)
    ]
    return sorted(due, key=lambda row: row["deleted_at"])[:limit]


def _delete_from(table: str) -> Callable[[Transaction, list[str]], None]:
    def delete(tx: Transaction, conversation_ids: list[str]) -> None:
        for key, row in list(tx.rows(table).items()):
            if row["conversation_id"] in conversation_ids:
                tx.delete(table, key)

    return delete


STATEMENTS: dict[str, Callable[..., Iterable[Any] | None]] = {
    "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic_id = $2": _offsets,
    "INSERT INTO sink_offsets (sink, topic_id, partition, next_offset) SELECT $1, $2, unnest": _begin_offsets,
    "UPDATE sink_offsets SET next_offset = reached.next_offset": _set_offsets,
    "UPDATE messages SET project_id = c.project_id FROM conversations": lambda _tx: None,  # every row has it here
    "SELECT user_id FROM public.data_keys WHERE user_id": lambda _tx, _users: None,  # no key is ever destroyed here
    "INSERT INTO conversations (": _upsert_conversations,
    "INSERT INTO runs (": _upsert_runs,
    "SELECT id::text AS conversation_id, project_id::text, created_by::text, created_at, updated_at, position, title, "
    "title_by::text, archived, deleted, deleted_at, purged, agent_id::text, last_question_id::text , (": _view,
    "SELECT id::text AS conversation_id": lambda tx, ids: [
        _view_row(row) for id, row in tx.rows(CONVERSATIONS.name).items() if id in ids
    ],
    "SELECT id::text, conversation_id::text, message_id::text": lambda tx, ids: [
        Record(row) for id, row in tx.rows(RUNS.name).items() if id in ids
    ],
    "SELECT id::text, role, owner_id::text, parent_message_id::text, digest FROM messages": _messages,
    "SELECT id::text, status, attempt FROM runs WHERE conversation_id = $1 AND ended_at IS NOT NULL": lambda tx, here: [
        row for row in _of(tx, RUNS.name, here) if row["ended_at"] is not None
    ],
    "SELECT message_id::text, code FROM rejections": lambda tx, here: _of(tx, REJECTIONS.name, here),
    "SELECT run_id::text FROM remembered_cancels": lambda tx, here: [
        row for row in _of(tx, REMEMBERED_CANCELS.name, here) if row["run_id"] not in tx.rows(RUNS.name)
    ],
    "SELECT causes::text[] FROM conversations": lambda tx, here: [
        row["causes"] for id, row in tx.rows(CONVERSATIONS.name).items() if id == here
    ],
    "SELECT id::text, CASE WHEN NOT content_deleted THEN content END AS content FROM messages": _texts,
    "SELECT DISTINCT conversation_id::text FROM runs WHERE ended_at IS NULL AND requested_at <": lambda tx, before: [
        row
        for row in tx.rows(RUNS.name).values()
        if row["ended_at"] is None and row["requested_at"] is not None and row["requested_at"] < before
    ],
    "SELECT id::text, deleted_at FROM conversations WHERE deleted AND NOT purged": _to_purge,
    # Rows of before that column; here are none.
    "UPDATE messages SET project_id = c.project_id": lambda tx: None,
} | {f"DELETE FROM {table.name} WHERE conversation_id = ANY($1)": _delete_from(table.name) for table in PURGED}
"""How each statement is answered, by its first words; the first that fits counts."""
