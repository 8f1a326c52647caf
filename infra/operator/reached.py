"""Reaching Kafka and PostgreSQL from a command: what is away is said in one sentence, never in a traceback."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NoReturn, TypeAlias, TypeVar
from urllib.parse import urlsplit

import asyncpg
import click
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition
from confluent_kafka import KafkaException

from infra import postgres
from infra.operator.shown import CannotBeDone
from infra.operator.times import BadTime, moment_of
from infra.settings import KafkaSettings, PostgresSettings

Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

T = TypeVar("T")

Spans = Mapping[TopicPartition, tuple[int, int]]
"""Stretches of partitions: from the first offset up to, not including, the second."""

_ANSWER_S = 10.0
"""How long Kafka may take for its first word, in seconds: a person waits."""
_SILENCE_S = 20.0
"""How long it may say nothing while there is something to read."""
_ASK_MS = 500


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work."""
    # What matters comes back as an exception, and is said once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


class Time(click.ParamType):
    """An option that takes a time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return moment_of(value, datetime.now(UTC))
        except BadTime as error:
            self.fail(str(error), param, ctx)


def _away(settings: KafkaSettings, error: BaseException) -> NoReturn:
    match error:
        case KafkaConnectionError():
            why = "nobody listens there"
        case KafkaException():
            why = error.args[0].str()
        case _:
            why = str(error) or type(error).__name__
    raise CannotBeDone(
        f"Kafka at {settings.bootstrap} does not answer ({why}): is it running, and does CHORUS_KAFKA name it?"
    ) from error


@contextmanager
def kafka(settings: KafkaSettings) -> Iterator[None]:
    """Say it in a sentence where Kafka is away."""
    try:
        yield
    except (KafkaError, KafkaException) as error:
        _away(settings, error)


@asynccontextmanager
async def consumer(settings: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer outside of any group: whatever it reads, nobody's position moves."""
    made = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=int(_SILENCE_S * 1000),
    )
    with kafka(settings):
        try:
            async with asyncio.timeout(_ANSWER_S):
                await made.start()
        except TimeoutError as error:
            await made.stop()
            _away(settings, error)
        except BaseException:
            await made.stop()
            raise
        try:
            yield made
        finally:
            await made.stop()


async def partitions(settings: KafkaSettings) -> dict[str, int]:
    """Every topic there is, Kafka's own aside, and how many partitions it has."""
    # Not the admin client: it takes its whole time-out to say that nobody listens.
    client = AIOKafkaClient(bootstrap_servers=settings.bootstrap)
    with kafka(settings):
        try:
            async with asyncio.timeout(_ANSWER_S):
                await client.bootstrap()
                found = await client.fetch_all_metadata()
        except TimeoutError as error:
            _away(settings, error)
        finally:
            await client.close()
    names = sorted(found.topics(exclude_internal_topics=False))
    return {name: len(found.partitions_for_topic(name)) for name in names if not name.startswith("__")}


async def partitions_of(settings: KafkaSettings, topic: str) -> list[TopicPartition]:
    """The partitions of one topic.

    Raises:
        CannotBeDone: there is no such topic; the known ones are listed.
    """
    there = await partitions(settings)
    if topic not in there:
        raise CannotBeDone(f"There is no topic {topic!r}: there are {', '.join(sorted(there)) or 'none at all'}.")
    return [TopicPartition(topic, p) for p in range(there[topic])]


async def whole(reader: AIOKafkaConsumer, where: list[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
    """All that is there now, of each partition."""
    firsts, ends = await reader.beginning_offsets(where), await reader.end_offsets(where)
    return {p: (firsts[p], ends[p]) for p in where}


async def since(settings: KafkaSettings, topics: Iterable[str], age: timedelta) -> int:
    """How many records these topics, those that are there, got within this time."""
    there = await partitions(settings)
    where = [TopicPartition(name, p) for name in topics for p in range(there.get(name, 0))]
    if not where:
        return 0
    at_ms = int((datetime.now(UTC) - age).timestamp() * 1000)
    async with consumer(settings) as reader:
        found = await reader.offsets_for_times(dict.fromkeys(where, at_ms))
        ends = await reader.end_offsets([p for p in where if found.get(p) is not None])
    return sum(end - found[p].offset for p, end in ends.items())


async def records(reader: AIOKafkaConsumer, spans: Spans) -> AsyncGenerator[Record, None]:
    """The records of these stretches, in each partition's own order, and over all partitions by their timestamps.

    Memory is bounded by what one fetch brings.

    Raises:
        aiokafka.errors.KafkaError: Kafka has gone silent.
    """
    unread = {where for where, (start, end) in spans.items() if start < end}
    heads: dict[TopicPartition, deque[Record]] = {where: deque() for where in unread}
    if not unread:
        return
    reader.assign(list(unread))
    for where in unread:
        reader.seek(where, spans[where][0])
    while heads:
        empty = [where for where, waiting in heads.items() if not waiting]
        for where in empty:
            if where not in unread:
                del heads[where]
        if wanted := [where for where in empty if where in unread]:
            await _fill(reader, spans, unread, heads, wanted)
            continue
        if heads:
            first = min(heads, key=lambda where: (heads[where][0].timestamp, where.partition))
            yield heads[first].popleft()


async def _fill(
    reader: AIOKafkaConsumer,
    spans: Spans,
    unread: set[TopicPartition],
    heads: Mapping[TopicPartition, deque[Record]],
    wanted: list[TopicPartition],
) -> None:
    began = monotonic()
    while True:
        found = await reader.getmany(*wanted, timeout_ms=_ASK_MS)
        for where, came in found.items():
            heads[where].extend(record for record in came if record.offset < spans[where][1])
        done = [where for where in wanted if await reader.position(where) >= spans[where][1]]
        unread.difference_update(done)
        if found or done:
            return
        if monotonic() - began > _SILENCE_S:
            raise KafkaError(f"nothing was read for {_SILENCE_S:g} s, though there is something to read")


@asynccontextmanager
async def database(settings: PostgresSettings) -> AsyncIterator[Connection]:
    """One connection.

    Raises:
        CannotBeDone: PostgreSQL is away, or its schema is older than this command.
    """
    url = urlsplit(settings.url)
    try:
        connection = await asyncpg.connect(settings.url, timeout=5, command_timeout=300)
        try:
            yield connection
        finally:
            connection.terminate() if connection.is_in_transaction() else await connection.close(timeout=5)
    except BrokenPipeError:
        raise  # of our own output, as in `chorus … | head`
    except asyncpg.UndefinedTableError as error:
        raise CannotBeDone(f"The database is of another version ({error}): run `chorus migrate`.") from error
    except (*postgres.AWAY, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        why = str(error) or type(error).__name__
        raise CannotBeDone(
            f"PostgreSQL at {url.hostname}:{url.port or 5432} does not answer ({why}): is it running, and does "
            "CHORUS_DATABASE_URL name it?"
        ) from error
