"""How far a sink has stored each partition of a topic: a row of `sink_offsets`, in one transaction with what it stores.

What is stored counts, whatever the group's offsets say: a record below it was stored, however often it comes again.
Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


class SinkAhead(RuntimeError):
    """The sink has stored more of a partition than there is: the topic's log was cut back."""


async def opened(
    pool: "asyncpg.Pool[asyncpg.Record]", sink: str, topic_id: str, partitions: Sequence[int]
) -> dict[int, int]:
    """The next offset of each partition; from now on each has a row, which can be locked."""
    await pool.execute(
        """
        INSERT INTO sink_offsets (sink, topic_id, partition, next_offset)
        SELECT $1, $2, unnest($3::integer[]), 0 ON CONFLICT DO NOTHING
        """,
        sink,
        topic_id,
        partitions,
    )
    found = await pool.fetch(
        "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic_id = $2 AND partition = ANY($3)",
        sink,
        topic_id,
        partitions,
    )
    return {row["partition"]: row["next_offset"] for row in found}


async def held(connection: "Connection", sink: str, topic_id: str, partitions: Iterable[int]) -> dict[int, int]:
    """The next offset of each partition, which nobody else changes until the transaction ends."""
    found = await connection.fetch(
        """
        SELECT partition, next_offset FROM sink_offsets
        WHERE sink = $1 AND topic_id = $2 AND partition = ANY($3) ORDER BY partition FOR UPDATE
        """,
        sink,
        topic_id,
        sorted(set(partitions)),
    )
    return {row["partition"]: row["next_offset"] for row in found}


async def advance(connection: "Connection", sink: str, topic_id: str, reached: Mapping[int, int]) -> None:
    """Note the next offset of each partition."""
    await connection.execute(
        """
        UPDATE sink_offsets SET next_offset = reached.next_offset, updated_at = now()
        FROM unnest($3::integer[], $4::bigint[]) AS reached (partition, next_offset)
        WHERE sink = $1 AND topic_id = $2 AND sink_offsets.partition = reached.partition
        """,
        sink,
        topic_id,
        list(reached),
        list(reached.values()),
    )
