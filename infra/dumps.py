"""Every table of the database, out to the object store and back in, through COPY in its text form.

Not `pg_dump`: there is none beside a managed server or in our image, and it must match the server's version. COPY is
there wherever PostgreSQL is, and what one version wrote any other reads.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from graphlib import TopologicalSorter
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from infra.objects import Objects

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

PART_BYTES = 16 * 2**20
"""Bytes of a table in one object, before compression: what is held in memory at once."""


class Part(Struct, frozen=True):
    """An object with a stretch of a table. It may end within a row: the parts are one text."""

    path: str
    sha256: str


class Table(Struct, frozen=True):
    """A dumped table. `bytes` is its size as text."""

    name: str
    columns: list[str]
    rows: int
    bytes: int
    parts: list[Part]


class DamagedDump(ValueError):
    """A part of a dump is not what was written."""


Told = Callable[[int], None]

_TABLES = """
SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relpersistence = 'p' AND c.relname <> 'alembic_version'
GROUP BY c.relname ORDER BY c.relname
"""

_REFERENCES = """
SELECT DISTINCT f.relname AS referrer, t.relname AS referred
FROM pg_constraint JOIN pg_class AS f ON f.oid = conrelid JOIN pg_class AS t ON t.oid = confrelid
WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conrelid <> confrelid
"""

_SEQUENCES = """
SELECT c.relname AS name, a.attname AS column, pg_get_serial_sequence(quote_ident(c.relname), a.attname) AS sequence
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    AND pg_get_serial_sequence(quote_ident(c.relname), a.attname) IS NOT NULL
"""


async def tables(connection: "Connection") -> dict[str, list[str]]:
    """Every table with its columns, generated ones aside; a table comes after those that it refers to."""
    columns = {row["name"]: list(row["columns"]) for row in await connection.fetch(_TABLES)}
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(columns, ()))
    for row in await connection.fetch(_REFERENCES):
        order.add(row["referrer"], row["referred"])
    return {name: columns[name] for name in order.static_order() if name in columns}


async def filled(connection: "Connection") -> list[str]:
    """The tables that have a row."""
    found = []
    for name in await tables(connection):
        if await connection.fetchval(f'SELECT EXISTS (SELECT FROM "{name}")'):  # noqa: S608  # a name of the catalog
            found.append(name)
    return found


async def dump(
    connection: "Connection", objects: Objects, folder: str, name: str, columns: list[str], told: Told
) -> Table:
    """Write a table as `connection`'s transaction sees it. `told` hears of bytes.

    Raises:
        infra.objects.ObjectsError: the store refuses.
        one of `infra.postgres.AWAY`
    """
    parts: list[Part] = []
    waiting = bytearray()
    size = 0

    async def flush() -> None:
        content = await asyncio.to_thread(gzip.compress, bytes(waiting), 1, mtime=0)
        part = Part(f"{folder}/{name}/{len(parts):06}.gz", sha256(content).hexdigest())
        waiting.clear()
        await objects.put(part.path, content)
        parts.append(part)

    async def take(data: bytes) -> None:
        nonlocal size
        waiting.extend(data)
        size += len(data)
        told(len(data))
        if len(waiting) >= PART_BYTES:
            await flush()

    listed = ", ".join(f'"{column}"' for column in columns)
    # A query and not the table: a partitioned one can be read in no other way.
    query = f'SELECT {listed} FROM "{name}"'  # noqa: S608  # names of the catalog
    done = await connection.copy_from_query(query, output=take, format="text")
    if waiting:
        await flush()
    return Table(name, columns, int(done.split()[1]), size, parts)


async def load(connection: "Connection", objects: Objects, table: Table, told: Told) -> None:
    """Put a dumped table's rows back, within a transaction of the caller's. `told` hears of bytes.

    Raises:
        DamagedDump: see there.
        infra.objects.ObjectsError: a part cannot be read.
        asyncpg.PostgresError: they do not fit the table.
    """

    async def parts() -> AsyncIterator[bytes]:
        for part in table.parts:
            content = await objects.get(part.path)
            if sha256(content).hexdigest() != part.sha256:
                raise DamagedDump(f"{part.path} in {objects.place} is damaged: its SHA-256 is another.")
            text = await asyncio.to_thread(gzip.decompress, content)
            yield text
            told(len(text))

    # Triggers have done their part for these rows: a ledger's would add every entry to its wallet once more.
    await connection.execute(f'ALTER TABLE "{table.name}" DISABLE TRIGGER USER')
    await connection.copy_to_table(table.name, source=parts(), columns=table.columns, format="text")
    await connection.execute(f'ALTER TABLE "{table.name}" ENABLE TRIGGER USER')


async def advance_sequences(connection: "Connection") -> None:
    """Let numbers that the database gives go on above those that were loaded."""
    for row in await connection.fetch(_SEQUENCES):
        highest = f'SELECT max("{row["column"]}") FROM "{row["name"]}"'  # noqa: S608  # names of the catalog
        await connection.execute(
            "SELECT setval($1::text::regclass, $2 + 1, false)", row["sequence"], await connection.fetchval(highest) or 0
        )
