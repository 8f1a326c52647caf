"""Sending dead letters back to their topic, and who did."""

import asyncio
import getpass
import socket
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.kafka import topic_ids
from infra.operator import letters, local, reached
from infra.operator.aside import Found, complete, error_option, is_wanted, offsets_option, opened, since_option
from infra.operator.letters import Stretch, Wanted
from infra.operator.reached import Connection
from infra.operator.shown import CannotBeDone, console, counted, data_option, json_option, print_json, row, table, when
from infra.settings import KafkaSettings, PostgresSettings
from schemas import ids
from schemas.dead_letters import dead_letter_topic, original_topic, redriven_headers
from schemas.topics import CONVERSATION_EVENTS, MAX_RECORD_BYTES

ONE_WRITER = (
    f"Nothing is sent into {CONVERSATION_EVENTS.topic}: it has one writer. What history could not apply is kept in "
    "the table unfit_facts and is mended by `chorus replay history`; what live could not, by `chorus replay live`."
)

_AT_ONCE = 500
"""Letters on their way at once: enough to fill the producer's batches, few enough to count what was interrupted."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a re-drive would send: offsets by partition; and what it would not, and why."""

    send: dict[int, set[int]]
    again: int
    foreign: int

    @property
    def count(self) -> int:
        return sum(map(len, self.send.values()))

    def told(self, topic: str) -> str:
        left = [
            f"{self.again:,} were sent before (--again sends them too)" if self.again else "",
            f"{self.foreign:,} do not say that they came from there" if self.foreign else "",
        ]
        which = letters.written(letters.ranges(self.send))
        rest = "; left out: " + ", ".join(filter(None, left)) if any(left) else ""
        return f"{counted(self.count, 'dead letter')} for {topic}{f': {which}' if which else ''}{rest}."


@click.command()
@click.argument("topic", shell_complete=complete)
@error_option
@since_option
@offsets_option
@click.option("--dry-run", is_flag=True, help="Only say which would be sent.")
@click.option("--again", is_flag=True, help="Also those that were sent before.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def redrive(
    topic: str,
    error: str | None,
    since: datetime | None,
    offsets: tuple[Stretch, ...],
    dry_run: bool,
    again: bool,
    yes: bool,
    data: Path,
    as_json: bool,
) -> None:
    """Send dead letters back to TOPIC, with the key, value and id that they came with. They stay there too."""
    topic = original_topic(topic)
    if topic == CONVERSATION_EVENTS.topic:
        raise CannotBeDone(ONE_WRITER)
    wanted = Wanted(error=error, since=since, offsets=offsets)
    env = local.environment(data)
    kafka = KafkaSettings.from_env(env)

    async def work() -> dict[str, object]:
        await reached.partitions_of(kafka, topic)
        async with reached.database(PostgresSettings.from_env(env)) as db, opened(kafka, topic) as found:
            with reached.kafka(kafka):
                topic_id = (await topic_ids(kafka, [dead_letter_topic(topic)]))[dead_letter_topic(topic)]
            await _alone(db, topic, topic_id)
            plan = await _plan(found, wanted, topic, {} if again else await _sent_before(db, topic_id))
            if not as_json:
                click.echo(plan.told(topic))
            said: dict[str, object] = {
                "topic": topic,
                "count": plan.count,
                "letters": letters.ranges(plan.send),
                "sent_before": plan.again,
                "foreign": plan.foreign,
                "redrive_id": None,
            }
            if dry_run or not plan.count:
                return said
            if not yes:
                _ask(plan.count, topic)
            said["redrive_id"] = redrive_id = await _record(db, topic, topic_id, wanted, plan)
            await _send(kafka, found, plan, topic, redrive_id)
            await db.execute("UPDATE redrives SET finished_at = now() WHERE id = $1", redrive_id)
            if not as_json:
                click.echo(f"Sent {counted(plan.count, 'record')} to {topic}, as re-drive {redrive_id}.")
            return said

    said = reached.run(work())
    if as_json:
        print_json(said)


def _ask(count: int, topic: str) -> None:
    if not sys.stdin.isatty():
        raise CannotBeDone("Nobody can be asked here: give --yes to send them, or --dry-run to look.")
    if not click.confirm(f"Send {counted(count, 'record')} to {topic}?"):
        raise click.Abort


async def _alone(db: Connection, topic: str, topic_id: str) -> None:
    """Two re-drives of one topic at once would send the same letters twice: harmless, and surely not meant."""
    if not await db.fetchval("SELECT pg_try_advisory_lock(hashtextextended('redrive/' || $1, 0))", topic_id):
        raise CannotBeDone(f"Another re-drive of {topic} is under way: `chorus dlq redrives` says whose.")


async def _sent_before(db: Connection, topic_id: str) -> dict[int, set[int]]:
    # One that was interrupted has perhaps sent nothing: its letters are sent again, and those that had arrived are
    # known by their ids.
    rows = await db.fetch(
        "SELECT letters::text FROM redrives WHERE topic_id = $1 AND finished_at IS NOT NULL", topic_id
    )
    sent: dict[int, set[int]] = {}
    for found in rows:
        for partition, some in letters.offsets_in(msgspec.json.decode(found["letters"])).items():
            sent.setdefault(partition, set()).update(some)
    return sent


async def _plan(found: Found, wanted: Wanted, topic: str, sent: dict[int, set[int]]) -> _Plan:
    send: dict[int, set[int]] = {}
    again = foreign = 0
    async for letter in found.letters():
        record = letter.record
        if not is_wanted(wanted, letter):
            continue
        if letter.failed.topic != topic:
            foreign += 1
        elif record.offset in sent.get(record.partition, ()):
            again += 1
        else:
            send.setdefault(record.partition, set()).add(record.offset)
    return _Plan(send, again, foreign)


async def _record(db: Connection, topic: str, topic_id: str, wanted: Wanted, plan: _Plan) -> str:
    redrive_id = ids.new_id()
    await db.execute(
        """
        INSERT INTO redrives (id, who, topic, topic_id, filters, letters, count) VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        redrive_id,
        f"{getpass.getuser()}@{socket.gethostname()}",
        topic,
        topic_id,
        msgspec.json.encode(wanted.described()).decode(),
        msgspec.json.encode(letters.ranges(plan.send)).decode(),
        plan.count,
    )
    return redrive_id


async def _send(kafka: KafkaSettings, found: Found, plan: _Plan, topic: str, redrive_id: str) -> None:
    spans = {
        where: (min(plan.send[where.partition]), max(plan.send[where.partition]) + 1)
        for where in found.spans
        if where.partition in plan.send
    }
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_request_size=2 * MAX_RECORD_BYTES,  # whether a record fits is for the broker to say
    )
    sent = 0
    on_their_way: list[asyncio.Future[Any]] = []
    await producer.start()
    try:
        async for letter in Found(found.reader, spans).letters():
            record = letter.record
            if record.offset not in plan.send[record.partition]:
                continue
            headers = redriven_headers(list(record.headers), redrive_id)
            # Without a key there is no order to keep, but a partition it came from.
            where = letter.failed.partition if record.key is None else None
            on_their_way.append(
                await producer.send(topic, record.value, key=record.key, partition=where, headers=headers)
            )
            if len(on_their_way) == _AT_ONCE:
                await asyncio.gather(*on_their_way)
                sent += len(on_their_way)
                on_their_way = []
        await asyncio.gather(*on_their_way)
    except KafkaError as error:
        raise CannotBeDone(
            f"Interrupted after {sent:,} of {plan.count:,} ({error}): run the same command again, what has arrived "
            "twice changes nothing."
        ) from error
    finally:
        await producer.stop()


# -- redrives --


@click.command()
@data_option
@json_option
def redrives(data: Path, as_json: bool) -> None:
    """List who sent which dead letters again, and when, newest first."""
    env = local.environment(data)

    async def work() -> list[dict[str, Any]]:
        async with reached.database(PostgresSettings.from_env(env)) as db:
            rows = await db.fetch(
                """
                SELECT id::text, who, topic, filters::text, letters::text, count, started_at, finished_at
                FROM redrives ORDER BY started_at DESC
                """
            )
        return [dict(found) | {n: msgspec.json.decode(found[n]) for n in ("filters", "letters")} for found in rows]

    found = reached.run(work())
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("Nothing was ever re-driven.")
        return
    shown = table("started", "finished", "who", "topic", "count", "which", "re-drive", right=["count"])
    for one in found:
        finished = when(one["finished_at"]) if one["finished_at"] else "not: interrupted, or under way"
        which = letters.written(one["letters"])
        row(shown, when(one["started_at"]), finished, one["who"], one["topic"], f"{one['count']:,}", which, one["id"])
    console().print(shown)
