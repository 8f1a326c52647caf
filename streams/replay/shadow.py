"""History's shadow: tables like the live ones in a schema of their own, how far they are, and the swap.

A connection for the shadow has that schema, and nothing else, in its search path: statements that name no schema cannot
reach a live table. How far the shadow is stands beside its tables, and lives and dies with them.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from infra.settings import PostgresSettings
from streams.projections.storing import SINK
from streams.replay.refusals import CannotReplay

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

SCHEMA = "replay"
OLD = "replay_old"

TABLES = ("conversations", "messages", "runs", "rejections", "remembered_cancels", "unfit_facts")
"""All that history writes, but for `sink_offsets`."""

_LOCKS = {"history": 4_812_091_656, "live": 4_812_091_657}
"""Any 64-bit numbers that nobody else uses: one replay of a projection at a time."""

_TABLE_LOCK_MS = 400
"""How long readers may have to wait for the swap at most; below PostgreSQL's `deadlock_timeout`, so that it is the swap
that gives way."""
_ROW_LOCK_MS = 3_000
"""How long the swap waits for a batch of the live sink to end."""
SNAPSHOTS_S = 3.0
"""How long the swap waits for readers that began before the shadow had caught up."""

SHOWN = 5
"""Rows named for each table that differs."""


async def connect(postgres: PostgresSettings, **settings: str) -> "Connection":
    """A connection whose statements may take as long as they need."""
    return await asyncpg.connect(postgres.url, timeout=5, server_settings={"application_name": "replay"} | settings)


async def connect_shadow(postgres: PostgresSettings) -> "Connection":
    """One that reaches the shadow alone. A crash of the server may cost its last commits: they are made again."""
    return await connect(postgres, search_path=SCHEMA, synchronous_commit="off")


async def alone(connection: "Connection", projection: str) -> None:
    """See that nobody else replays this projection, for as long as this connection lives.

    Raises:
        CannotReplay: somebody does.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCKS[projection]):
        raise CannotReplay(f"{projection} is being replayed by another process already: wait for it, or stop it.")


async def exists(connection: "Connection", schema: str) -> bool:
    return bool(await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", schema))


async def drop(connection: "Connection", schema: str) -> None:
    await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


async def bring_back(connection: "Connection") -> None:
    """Make the tables that the last swap put away the shadow."""
    await connection.execute(f"ALTER SCHEMA {OLD} RENAME TO {SCHEMA}")


# -- made ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Partly:
    """A replay of some conversations: these are rebuilt, the others are taken as they are.

    Attributes:
        scanned: for each partition the offset up to which the log was searched for them; what follows counts whoever
            it belongs to.
    """

    conversations: frozenset[str]
    scanned: Mapping[int, int]


async def create(connection: "Connection", topic_id: str, partitions: Iterable[int], partly: Partly | None) -> None:
    """Make the shadow, empty or, of a replay of some conversations, with the rows of the others; all or nothing.

    Raises:
        CannotReplay: something hangs on a live table that a swap would leave behind.
    """
    async with connection.transaction(isolation="repeatable_read"):
        await _nothing_hangs_on_them(connection)
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        await connection.execute(
            f"""
            CREATE TABLE {SCHEMA}.progress (
                topic_id text NOT NULL, partition integer PRIMARY KEY, next_offset bigint NOT NULL,
                scanned bigint NOT NULL
            )
            """
        )
        await connection.execute(f"CREATE TABLE {SCHEMA}.chosen (conversation_id uuid PRIMARY KEY)")
        await connection.executemany(
            f"INSERT INTO {SCHEMA}.progress VALUES ($1, $2, 0, $3)",
            [(topic_id, p, partly.scanned[p] if partly else 0) for p in partitions],
        )
        for table in TABLES:
            await connection.execute(
                f"CREATE TABLE {SCHEMA}.{table} (LIKE public.{table} INCLUDING ALL EXCLUDING INDEXES)"
            )
            for name, definition in await connection.fetch(
                """
                SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
                WHERE conrelid = ('public.' || $1)::regclass AND contype IN ('p', 'u', 'x', 'f')
                """,
                table,
            ):
                await connection.execute(f'ALTER TABLE {SCHEMA}.{table} ADD CONSTRAINT "{name}" {definition}')
        # What they refuse decides what becomes of a record, so these are there from the first one on.
        await _make_indexes(connection, unique=True)
        if partly:
            await connection.copy_records_to_table(
                "chosen", schema_name=SCHEMA, records=((c,) for c in partly.conversations)
            )
            await _copy_others(connection)
        # Another log's records that did not fit: this one has none to take their place.
        columns = await _columns(connection, "unfit_facts")
        await connection.execute(
            f"""
            INSERT INTO {SCHEMA}.unfit_facts ({columns}) SELECT {columns} FROM public.unfit_facts WHERE topic_id <> $1
            ON CONFLICT DO NOTHING
            """,
            topic_id,
        )


async def _copy_others(connection: "Connection") -> None:
    for table in TABLES:
        of = {"conversations": "live.id::text", "unfit_facts": "live.record ->> 'conversation_id'"}
        columns = await _columns(connection, table)
        await connection.execute(
            f"""
            INSERT INTO {SCHEMA}.{table} ({columns}) SELECT {columns} FROM public.{table} AS live
            WHERE NOT EXISTS (
                SELECT FROM {SCHEMA}.chosen
                WHERE chosen.conversation_id::text = {of.get(table, "live.conversation_id::text")}
            )
            """
        )


async def _columns(connection: "Connection", table: str) -> str:
    names: str = await connection.fetchval(
        """
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = ('public.' || $1)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
        """,
        table,
    )
    return names


async def _nothing_hangs_on_them(connection: "Connection") -> None:
    found = await connection.fetch(
        """
        SELECT DISTINCT pg_describe_object('pg_class'::regclass, rule.ev_class, 0) AS what
        FROM pg_depend AS hangs
        JOIN pg_rewrite AS rule ON hangs.classid = 'pg_rewrite'::regclass AND hangs.objid = rule.oid
        WHERE hangs.refclassid = 'pg_class'::regclass AND hangs.refobjid = ANY($1::regclass[]::oid[])
        UNION SELECT pg_describe_object('pg_constraint'::regclass, oid, 0) FROM pg_constraint
        WHERE contype = 'f' AND confrelid = ANY($1::regclass[]::oid[]) AND conrelid <> ALL($1::regclass[]::oid[])
        """,
        [f"public.{table}" for table in TABLES],
    )
    if found:
        raise CannotReplay(
            f"{', '.join(row['what'] for row in found)} would go on showing the old tables after a swap: drop it, and "
            "make it anew afterwards."
        )


async def make_indexes(connection: "Connection") -> None:
    """Make the indexes that the live tables have and the shadow has not, and let the planner know the new tables."""
    await _make_indexes(connection, unique=False)
    for table in TABLES:
        await connection.execute(f"ANALYZE {SCHEMA}.{table}")


async def _make_indexes(connection: "Connection", *, unique: bool) -> None:
    for table in TABLES:
        definitions = await connection.fetch(
            """
            SELECT pg_get_indexdef(indexrelid) AS made FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
            WHERE indrelid = ('public.' || $1)::regclass AND (indisunique OR NOT $2)
                AND to_regclass($3 || '.' || quote_ident(relname)) IS NULL
            """,
            table,
            unique,
            SCHEMA,
        )
        for (definition,) in definitions:
            # A definition names the table once, with or without its schema, right before how it is indexed.
            head, using, rest = definition.partition(" USING ")
            await connection.execute(f"{head.rpartition(' ON ')[0]} ON {SCHEMA}.{table}{using}{rest}")


# -- where it is -------------------------------------------------------------------------------------------------------


async def progress(connection: "Connection") -> tuple[str, dict[int, int]]:
    """The topic that the shadow is made of, and for each partition the next offset."""
    rows = await connection.fetch(f"SELECT topic_id, partition, next_offset FROM {SCHEMA}.progress")
    return rows[0]["topic_id"], {row["partition"]: row["next_offset"] for row in rows}


async def partly(connection: "Connection") -> Partly:
    rows = await connection.fetch(f"SELECT partition, scanned FROM {SCHEMA}.progress")
    chosen = await connection.fetch(f"SELECT conversation_id::text FROM {SCHEMA}.chosen")
    return Partly(frozenset(row[0] for row in chosen), {row["partition"]: row["scanned"] for row in rows})


async def reached(shadow: "Connection", partition: int, next_offset: int) -> None:
    """Write down how far a partition is, in the transaction that writes its rows."""
    await shadow.execute("UPDATE progress SET next_offset = $2 WHERE partition = $1", partition, next_offset)


async def live_offsets(connection: "Connection", topic_id: str) -> dict[int, int]:
    rows = await connection.fetch(
        "SELECT partition, next_offset FROM public.sink_offsets WHERE sink = $1 AND topic_id = $2", SINK, topic_id
    )
    return {row["partition"]: row["next_offset"] for row in rows}


async def hold_live(connection: "Connection", topic_id: str) -> dict[int, int]:
    """Let the live sink wait until this transaction ends, and say how far it is.

    Raises:
        asyncpg.LockNotAvailableError: a batch of it takes too long; try again.
    """
    await connection.execute(f"SET LOCAL lock_timeout = {_ROW_LOCK_MS}")
    rows = await connection.fetch(
        """
        SELECT partition, next_offset FROM public.sink_offsets WHERE sink = $1 AND topic_id = $2
        ORDER BY partition FOR UPDATE
        """,
        SINK,
        topic_id,
    )
    return {row["partition"]: row["next_offset"] for row in rows}


# -- compared ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compared:
    """One table, live and rebuilt, at the same offsets; rows are named by their keys, at most `SHOWN` of each kind."""

    table: str
    live: int
    rebuilt: int
    missing: int = 0
    """Rows that the live table lacks."""
    surplus: int = 0
    changed: int = 0
    examples: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return not (self.missing or self.surplus or self.changed)


async def compare(connection: "Connection", table: str) -> Compared:
    """Compare by count and a hash that does not depend on order; row by row only where these differ."""
    columns = await _columns(connection, table)
    shown = ", ".join(name for name in columns.split(", ") if name != "stored_at")
    live, rebuilt = [
        await connection.fetchrow(
            f"SELECT count(*), coalesce(sum(hashtextextended(ROW({shown})::text, 0)), 0) AS hash FROM {schema}.{table}"
        )
        for schema in ("public", SCHEMA)
    ]
    assert live is not None
    assert rebuilt is not None
    if live == rebuilt:
        return Compared(table, live["count"], rebuilt["count"])
    key = await connection.fetchval(
        """
        SELECT string_agg(quote_ident(attname), ', ') FROM pg_index JOIN pg_attribute ON attrelid = indrelid
        WHERE indrelid = ('public.' || $1)::regclass AND indisprimary AND attnum = ANY(indkey)
        """,
        table,
    )
    hashed = f"SELECT {key}, hashtextextended(ROW({shown})::text, 0) AS hash FROM"
    odd = await connection.fetchrow(
        f"""
        SELECT count(*) FILTER (WHERE l.hash IS NULL) AS missing, count(*) FILTER (WHERE r.hash IS NULL) AS surplus,
            count(*) FILTER (WHERE l.hash <> r.hash) AS changed,
            (array_agg(concat_ws(' ', {key}) ORDER BY {key}))[:{SHOWN}] AS examples
        FROM ({hashed} public.{table}) AS l FULL JOIN ({hashed} {SCHEMA}.{table}) AS r USING ({key})
        WHERE l.hash IS DISTINCT FROM r.hash
        """
    )
    assert odd is not None
    return Compared(
        table,
        live["count"],
        rebuilt["count"],
        odd["missing"],
        odd["surplus"],
        odd["changed"],
        tuple(odd["examples"] or ()),
    )


# -- swapped -----------------------------------------------------------------------------------------------------------


async def older_readers_are_gone(connection: "Connection", but: "Connection") -> None:
    """Wait for every transaction, `but` that of the swap, that sees the shadow as it was: it would read that as live.

    The live sink, which waits for the swap itself, reads nothing before, and looks anew at everything afterwards.

    Raises:
        TimeoutError: one of them goes on.
    """
    seen = """
    SELECT pid, xact_start FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL AND datname = current_database() AND backend_type = 'client backend'
        AND pid NOT IN (pg_backend_pid(), $1) AND $1 <> ALL(pg_blocking_pids(pid))
    """
    ours = but.get_server_pid()
    older = {tuple(row) for row in await connection.fetch(seen, ours)}
    async with asyncio.timeout(SNAPSHOTS_S):
        while older := older & {tuple(row) for row in await connection.fetch(seen, ours)}:  # noqa: ASYNC110  # nobody could set an event
            await asyncio.sleep(0.01)


async def swap(connection: "Connection", topic_id: str) -> None:
    """Put the shadow in the place of the live tables, in the transaction that holds the live sink.

    Raises:
        CannotReplay: the shadow is behind.
        asyncpg.LockNotAvailableError: somebody reads for too long; try again.
    """
    await connection.execute(f"SET LOCAL lock_timeout = {_TABLE_LOCK_MS}")
    await connection.execute(f"LOCK TABLE {', '.join(f'public.{t}' for t in TABLES)} IN ACCESS EXCLUSIVE MODE")
    behind = await connection.fetch(
        f"""
        SELECT live.partition, live.next_offset, coalesce(p.next_offset, 0) FROM public.sink_offsets AS live
        LEFT JOIN {SCHEMA}.progress AS p USING (topic_id, partition)
        WHERE live.sink = $1 AND live.topic_id = $2 AND live.next_offset > coalesce(p.next_offset, 0)
        ORDER BY live.partition
        """,
        SINK,
        topic_id,
    )
    if behind:
        partition, live, here = behind[0]
        raise CannotReplay(
            f"The rebuilt tables are behind the live ones: partition {partition} is at offset {here}, live at {live}. "
            "Nothing was swapped. Where the log itself ends earlier it was cut back: restore it first."
        )
    await connection.execute(f"CREATE SCHEMA {OLD}")
    for table in TABLES:
        await connection.execute(f"ALTER TABLE public.{table} SET SCHEMA {OLD}")
        await connection.execute(f"ALTER TABLE {SCHEMA}.{table} SET SCHEMA public")
    # What takes the old tables' place as `progress` says where these were, were they to be brought back.
    await connection.execute(
        f"""
        WITH live AS (
            SELECT partition, next_offset FROM public.sink_offsets WHERE sink = $1 AND topic_id = $2
        ), moved AS (
            INSERT INTO public.sink_offsets (sink, topic_id, partition, next_offset)
            SELECT $1, topic_id, partition, next_offset FROM {SCHEMA}.progress
            ON CONFLICT (sink, topic_id, partition) DO UPDATE
                SET next_offset = excluded.next_offset, updated_at = now()
        )
        UPDATE {SCHEMA}.progress SET scanned = 0,
            next_offset = coalesce((SELECT next_offset FROM live WHERE live.partition = progress.partition), 0)
        """,
        SINK,
        topic_id,
    )
    await connection.execute(f"DELETE FROM {SCHEMA}.chosen")
    for table in ("progress", "chosen"):
        await connection.execute(f"ALTER TABLE {SCHEMA}.{table} SET SCHEMA {OLD}")
    await connection.execute(f"DROP SCHEMA {SCHEMA}")
