"""What grows: tables, topics, what Redis holds, and how long ago the chores were done that keep growth harmless."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError
from prometheus_client import Gauge
from redis.asyncio import Redis

from infra import postgres
from infra import redis as our_redis
from infra.chores import CHORES, last_done
from infra.log_dirs import topic_bytes
from infra.settings import KafkaSettings

if TYPE_CHECKING:
    from infra.history import Database

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 60.0
"""Seconds between looks: growth is a matter of days, and a look costs each part one small question."""
ANSWER_S = 10.0
"""How long each may take to answer, in seconds."""

_table_bytes = Gauge("chorus_table_bytes", "Size of a table with its indexes", ["table"])
_table_rows = Gauge("chorus_table_rows", "Rows of a table, as PostgreSQL estimates them", ["table"])
_topic_bytes = Gauge("chorus_topic_bytes", "Size of a topic on the brokers' disks, all copies together", ["topic"])
_redis_bytes = Gauge("chorus_redis_bytes", "Memory that Redis uses")
_redis_limit = Gauge("chorus_redis_limit_bytes", "Memory that Redis may use; 0 where nobody has set it")
_oldest_run = Gauge("chorus_oldest_open_run_seconds", "Age of the run that was requested first and has not ended")
_last_done = Gauge("chorus_chore_last_done_timestamp_seconds", "When a chore was last done; 0 for never", ["chore"])


@dataclass(frozen=True, slots=True)
class Tables:
    """What PostgreSQL says: bytes and estimated rows by table, the age of the oldest open run, and the chores."""

    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    oldest_run_s: float = 0.0
    done: dict[str, datetime] = field(default_factory=dict)


_SIZES = """
SELECT relname AS name, pg_total_relation_size(oid) AS bytes, greatest(reltuples, 0)::bigint AS rows
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY bytes DESC
"""
_OLDEST = "SELECT coalesce(extract(epoch FROM now() - min(requested_at)), 0)::float8 FROM runs WHERE ended_at IS NULL"


async def tables(database: "Database") -> Tables:
    """Raises one of `infra.postgres.AWAY`."""
    sizes = {row["name"]: (row["bytes"], row["rows"]) for row in await database.fetch(_SIZES)}
    return Tables(sizes, await database.fetchval(_OLDEST), await last_done(database))


async def redis_memory(redis: Redis) -> tuple[int, int]:
    """Bytes used, and the most that may be. Raises one of `infra.redis.AWAY`."""
    said = await redis.info("memory")
    return said["used_memory"], said["maxmemory"]


async def watch(database: "Database", kafka: KafkaSettings, redis: Redis) -> None:
    """Keep the figures up to date until cancelled. Whoever is away keeps its last ones: that it is away is told
    elsewhere."""
    while True:
        try:
            _show(await postgres.within(ANSWER_S, tables(database)))
        except postgres.AWAY as error:
            log.info("the tables' size is not known", error=repr(error))
        try:
            async with asyncio.timeout(ANSWER_S):
                for name, size in (await topic_bytes(kafka)).items():
                    if not name.startswith("__"):
                        _topic_bytes.labels(name).set(size)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("the topics' size is not known", error=repr(error))
        try:
            used, limit = await redis_memory(redis)
            _redis_bytes.set(used)
            _redis_limit.set(limit)
        except our_redis.AWAY as error:
            log.info("how much Redis holds is not known", error=repr(error))
        await asyncio.sleep(LOOK_EVERY_S)


def _show(seen: Tables) -> None:
    for name, (size, rows) in seen.sizes.items():
        _table_bytes.labels(name).set(size)
        _table_rows.labels(name).set(rows)
    _oldest_run.set(seen.oldest_run_s)
    for chore in CHORES:
        _last_done.labels(chore).set(seen.done[chore].timestamp() if chore in seen.done else 0)
