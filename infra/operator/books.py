"""The money part of `chorus audit`: do wallets, ledger, reservations, records of usage and the topic say the same?"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import asyncpg

from infra.kafka import end_offsets, read_partition
from infra.operator.compared import Difference
from infra.operator.reached import Connection
from infra.settings import KafkaSettings
from schemas.contract import InvalidRecord
from schemas.topics import USAGE
from schemas.usage import RunUsed, UsageEvent

_BATCH: Final = 2_000

_MONEY: Final = {
    "unbalanced": """
        SELECT 'the entries of transaction ' || transaction_id || ' add up to ' || sum(amount_micros) AS what
        FROM ledger_entries WHERE $1::uuid IS NULL OR project_id = $1
        GROUP BY transaction_id HAVING sum(amount_micros) <> 0
    """,
    "wallet": """
        SELECT 'project ' || w.project_id || ': its wallet says ' || w.balance_micros || ' and ' || w.reserved_micros
            || ' held, its entries say ' || sums.balance || ' and ' || sums.reserved AS what
        FROM wallets AS w CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_micros) FILTER (WHERE account = 'wallet'), 0) AS balance,
                coalesce(sum(amount_micros) FILTER (WHERE account = 'reservation'), 0) AS reserved
            FROM ledger_entries AS e WHERE e.project_id = w.project_id
        ) AS sums
        WHERE ($1::uuid IS NULL OR w.project_id = $1)
            AND (w.balance_micros, w.reserved_micros) IS DISTINCT FROM (sums.balance, sums.reserved)
    """,
    "reservation": """
        SELECT 'run ' || r.run_id || ': its reservation holds ' || r.held || ', the ledger says ' || coalesce(e.held, 0)
            AS what
        FROM (
            SELECT run_id, CASE WHEN settled_at IS NULL THEN amount_micros ELSE 0 END AS held
            FROM reservations WHERE $1::uuid IS NULL OR project_id = $1
        ) AS r LEFT JOIN (
            SELECT run_id, sum(amount_micros) AS held FROM ledger_entries
            WHERE account = 'reservation' AND ($1::uuid IS NULL OR project_id = $1) GROUP BY run_id
        ) AS e USING (run_id)
        WHERE r.held <> coalesce(e.held, 0)
    """,
    "charge": """
        SELECT 'run ' || coalesce(u.run_id, e.run_id) || ': its usage says ' || coalesce(u.charged_micros, 0)
            || ', the ledger ' || coalesce(e.charged, 0) AS what
        FROM (
            SELECT run_id, charged_micros FROM usage_records
            WHERE billable AND charged_micros > 0 AND ($1::uuid IS NULL OR project_id = $1)
        ) AS u FULL JOIN (
            SELECT run_id, sum(amount_micros) AS charged FROM ledger_entries
            WHERE account = 'revenue' AND kind = 'charge' AND ($1::uuid IS NULL OR project_id = $1) GROUP BY run_id
        ) AS e USING (run_id)
        WHERE u.charged_micros IS DISTINCT FROM e.charged
    """,
}
"""What is wrong with the tables among themselves, by kind."""

_SAID: Final = ("billable", "input_tokens", "output_tokens", "cached_input_tokens", "price_version")
_RECORDED: Final = """
SELECT id::text, billable, input_tokens, output_tokens, cached_input_tokens, price_version
FROM usage_records WHERE id = ANY($1::uuid[])
"""


async def wrong(db: Connection, kafka: KafkaSettings, topic_id: str, project: str | None) -> list[Difference]:
    """Everything about money that does not add up, at the moment that `db` sees.

    Args:
        topic_id: Kafka's own id of the topic `usage`.
        project: only this one's; None for all.
    """
    from_topic, _ = await wrong_since(db, kafka, topic_id, {}, project)
    return [*await wrong_tables(db, project), *from_topic]


async def wrong_tables(db: Connection, project: str | None = None) -> list[Difference]:
    """What the tables say differently from one another."""
    return [
        Difference(kind, None, row["what"]) for kind, query in _MONEY.items() for row in await db.fetch(query, project)
    ]


async def wrong_since(
    db: Connection, kafka: KafkaSettings, topic_id: str, start: Mapping[int, int], project: str | None = None
) -> tuple[list[Difference], dict[int, int]]:
    """What the topic says differently from the tables, as far as billing has settled it. An event comes more than once;
    the first of an id counts.

    Args:
        start: the offset to begin at in each partition; in those that are absent their beginning.

    Returns:
        the differences, and the offset of each partition up to which there are no others.
    """
    rows = await db.fetch(
        "SELECT partition, next_offset FROM sink_offsets WHERE sink = 'billing' AND topic_id = $1", topic_id
    )
    settled = {row["partition"]: row["next_offset"] for row in rows}
    ends = await end_offsets(kafka, USAGE.topic, set(settled))
    reached = {partition: min(offset, ends[partition]) for partition, offset in settled.items()}
    found: list[Difference] = []
    for partition, end in sorted(reached.items()):
        seen: set[str] = set()
        async with aclosing(_told(kafka, partition, start.get(partition, 0), end, project)) as batches:
            async for batch in batches:
                first = {id: used for id, used in reversed(batch) if id not in seen}
                seen.update(first)
                found += _compared(first, await db.fetch(_RECORDED, list(first)))
    return found, reached


async def _told(
    kafka: KafkaSettings, partition: int, start: int, end: int, project: str | None
) -> AsyncGenerator[list[tuple[str, UsageEvent]], None]:
    batch: list[tuple[str, UsageEvent]] = []
    async with aclosing(read_partition(kafka, USAGE.topic, partition, start, end)) as records:
        async for record in records:
            try:
                used, envelope = USAGE.decode(record.value, record.headers)
            except InvalidRecord:
                continue  # the intake has put it aside, where `chorus dlq` shows it
            if project in (None, used.project_id):
                batch.append((envelope.id, used))
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _compared(told: dict[str, UsageEvent], rows: Sequence[asyncpg.Record]) -> Iterable[Difference]:
    recorded = {row["id"]: row for row in rows}
    for id, used in told.items():
        row = recorded.get(id)
        if row is None:
            yield Difference("usage", used.conversation_id, f"run {used.run_id} was told of and is not recorded")
            continue
        said = (
            isinstance(used, RunUsed),
            used.usage.input_tokens,
            used.usage.output_tokens,
            used.usage.cached_input_tokens,
            used.usage.price_version,
        )
        stored = tuple(row[name] for name in _SAID)
        if said != stored:
            what = f"run {used.run_id} was told as {said} and is recorded as {stored}"
            yield Difference("usage", used.conversation_id, what)
