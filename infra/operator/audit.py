"""`chorus audit`: does everything add up?"""

import sys
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import asyncpg
import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from infra.archives import read_log
from infra.kafka import end_offsets, partition_of, topic_ids
from infra.keyring import Keyring
from infra.objects import Objects, ObjectsError, ObjectsSettings
from infra.operator import books, local, reached, stored
from infra.operator.compared import Difference, Told, differences
from infra.operator.reached import Connection
from infra.operator.shown import (
    CannotBeDone,
    console,
    counted,
    data_option,
    json_option,
    print_json,
    row,
    table,
)
from infra.segments import Damaged, Hole
from infra.settings import KafkaSettings, PostgresSettings, SealingSettings
from schemas import events
from schemas.opened import Opened, closed, opened, owners
from schemas.sealing import CannotUnseal
from schemas.topics import CONVERSATION_EVENTS, USAGE

SINK = "history"

_SHOWN = 20
_KEPT = 1_000
"""Differences that are kept to be printed; of the rest there is the count."""

_BATCH = 500
"""Records whose keys are looked up together."""
_CHUNK = 200
"""Conversations whose rows are looked up together."""
_CLOSELY = 100
"""Conversations of a partition that are looked at line by line; it takes reading the partition once more."""


class _Id(click.ParamType):
    name = "id"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(UUID(str(value)))
        except ValueError:
            self.fail(f"{value!r} is no project's id: give a UUID.", param, ctx)


@dataclass(slots=True)
class Report:
    """What was compared, and what is not as it should be."""

    offsets: dict[int, int] = field(default_factory=dict)
    """How far the log was read, by partition: to where the tables were."""
    records: int = 0
    not_stored: int = 0
    """Newer records, which history had not stored and nobody has compared."""
    repeated: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    """Rows that the log asks for, by kind."""
    counts: Counter[str] = field(default_factory=Counter)
    """Differences by kind, all of them."""
    differences: list[Difference] = field(default_factory=list)
    """The first of them."""

    def add(self, found: Iterable[Difference]) -> None:
        for difference in found:
            self.counts[difference.kind] += 1
            if len(self.differences) < _KEPT:
                self.differences.append(difference)


@click.command()
@click.option("--project", type=_Id(), metavar="ID", help="Only this project's conversations.")
@click.option(
    "--run-limit",
    type=click.IntRange(min=1),
    default=660,
    show_default=True,
    envvar="CHORUS_RUN_LIMIT_S",
    metavar="SECONDS",
    help="A run that was requested longer ago and has not ended is overdue.",
)
@data_option
@json_option
def command(project: str | None, run_limit: int, data: Path, as_json: bool) -> None:
    """Compare the facts with what the tables say of them, and prove the books, at one moment, while people go on
    talking.

    Exit code 0 where all agrees, 1 where something differs, 2 where it could not be found out.
    """
    env = local.environment(data)

    objects = ObjectsSettings.from_env(env, data.resolve())

    async def work() -> Report:
        kafka = KafkaSettings.from_env(env)
        with reached.kafka(kafka):
            parts = len(await reached.partitions_of(kafka, CONVERSATION_EVENTS.topic))
            known = await topic_ids(kafka, [CONVERSATION_EVENTS.topic, USAGE.topic])
            topic_id = known[CONVERSATION_EVENTS.topic]
            async with (
                reached.database(PostgresSettings.from_env(env)) as db,
                # One moment for all that is read here, the keys too.
                db.transaction(isolation="repeatable_read", readonly=True),
            ):
                # A connection looks keys up as a pool does, and this one sees the moment that is audited.
                keyring = Keyring(cast("asyncpg.Pool[asyncpg.Record]", db), SealingSettings.from_env(env))
                audit = _Audit(db, keyring, kafka, Objects(objects), topic_id, parts, project, run_limit)
                audit.report.add(await books.wrong(db, kafka, known[USAGE.topic], project))
                try:
                    return await audit.facts()
                except (Damaged, Hole, ObjectsError) as error:
                    raise CannotBeDone(f"The whole log cannot be read: {error}.") from error

    report = reached.run(work())
    if as_json:
        print_json(_as_json(report))
    else:
        _print(report)
    if report.counts:
        sys.exit(1)


@dataclass(slots=True)
class _Audit:
    db: Connection
    keyring: Keyring
    kafka: KafkaSettings
    objects: Objects
    topic_id: str
    partitions: int
    project: str | None
    run_limit_s: int
    report: Report = field(default_factory=Report)

    async def facts(self) -> Report:
        """Compare the log up to where history has stored it with what history has stored."""
        at: datetime = await self.db.fetchval("SELECT now()")
        overdue_before = at - timedelta(seconds=self.run_limit_s)
        rows = await self.db.fetch(
            "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic_id = $2", SINK, self.topic_id
        )
        self.report.offsets = dict.fromkeys(range(self.partitions), 0) | {
            r["partition"]: r["next_offset"] for r in rows
        }
        ends = await end_offsets(self.kafka, CONVERSATION_EVENTS.topic, set(self.report.offsets))
        for partition, offset in self.report.offsets.items():
            if offset > ends[partition]:
                raise CannotBeDone(
                    f"History has stored partition {partition} up to offset {offset}, but the log ends at "
                    f"{ends[partition]}: it was cut back. Restore the log, or rebuild history from the log as it is."
                )
        self.report.not_stored = sum(ends.values()) - sum(self.report.offsets.values())
        await self._unfit()
        there = await self._counted()
        with Progress(
            *(TextColumn("reading the log"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
            console=console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task("", total=sum(self.report.offsets.values()))
            for partition in sorted(self.report.offsets):
                await self._partition(partition, there[partition], overdue_before, bar, task)
        if self.project is None:
            self._homeless(await stored.homeless(self.db))
        return self.report

    async def _partition(
        self, partition: int, there: int, overdue_before: datetime, bar: Progress, task: TaskID
    ) -> None:
        told = await self._told(partition, bar, task)
        closely: list[str] = []
        found = 0
        ids = list(told)
        for n in range(0, len(ids), _CHUNK):
            for conversation_id, tally in (await stored.tallies(self.db, ids[n : n + _CHUNK])).items():
                one = told[conversation_id]
                found += tally.kinds["conversation"]
                self.report.repeated += one.repeated
                self.report.compared.update(one.tally.kinds)
                self.report.add(one.overdue(overdue_before))
                if one.tally.sum != tally.sum:
                    closely.append(conversation_id)
        await self._look_closely(partition, closely)
        if found != there:
            await self._extra(partition, told)

    async def _told(
        self, partition: int, bar: Progress | None, task: TaskID | None, only: Collection[str] | None = None
    ) -> dict[str, Told]:
        """The conversations of a partition as the log tells them; with `only`, those, line by line."""
        told: dict[str, Told] = {}
        async for batch in self._batches(partition, only):
            for record in await self._opened(batch, aloud=only is None):
                conversation_id = record.record.conversation_id
                one = told.get(conversation_id)
                if one is None:
                    one = told[conversation_id] = Told(keep=only is not None)
                wrong = one.add(record)
                if wrong is not None and only is None:
                    self.report.add([wrong])
            if bar is not None and task is not None:
                bar.advance(task, len(batch))
        for one in told.values():
            one.finish()
        if bar is not None and task is not None:
            self.report.records += self.report.offsets[partition]
            bar.update(task, completed=self.report.records)
        return told

    async def _batches(
        self, partition: int, only: Collection[str] | None
    ) -> AsyncGenerator[list[events.ConversationAdvanced], None]:
        batch: list[events.ConversationAdvanced] = []
        log = read_log(self.kafka, self.objects, partition, 0, self.report.offsets[partition])
        async with aclosing(log) as records:
            async for record in records:
                try:
                    event = events.decode_advanced(record.value or b"")
                except msgspec.DecodeError:
                    if only is None and self.project is None:
                        where = f"partition {partition} offset {record.offset}"
                        self.report.add([Difference("unreadable", None, f"the record at {where} cannot be read")])
                    continue
                if self.project in (None, event.project_id) and (only is None or event.conversation_id in only):
                    batch.append(event)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    async def _opened(self, batch: Sequence[events.ConversationAdvanced], *, aloud: bool) -> list[Opened]:
        wanted: set[str] = set()
        for record in batch:
            try:
                wanted.update(owners(record))
            except CannotUnseal:
                pass  # said below
        keys = await self.keyring.keys(wanted)
        made = []
        for record in batch:
            try:
                made.append(opened(record, keys))
            except CannotUnseal as error:
                made.append(closed(record))
                if aloud:
                    what = f"a text at position {record.position} does not open: {error}"
                    self.report.add([Difference("sealed", record.conversation_id, what)])
        return made

    async def _look_closely(self, partition: int, conversation_ids: list[str]) -> None:
        some = conversation_ids[:_CLOSELY]
        if not some:
            return
        told = await self._told(partition, None, None, only=set(some))
        for conversation_id, tally in (await stored.tallies(self.db, some, keep=True)).items():
            self.report.add(differences(conversation_id, told[conversation_id].tally.lines or {}, tally.lines or {}))
        self.report.add(
            Difference("different", c, "differs; not looked at closely") for c in conversation_ids[_CLOSELY:]
        )

    async def _counted(self) -> Counter[int]:
        """How many conversations the tables have of each partition."""
        found: Counter[int] = Counter()
        async for conversation_id in stored.conversation_ids(self.db, self.project):
            found[partition_of(conversation_id, self.partitions)] += 1
        return found

    async def _extra(self, partition: int, told: Collection[str]) -> None:
        async for conversation_id in stored.conversation_ids(self.db, self.project):
            if conversation_id not in told and partition_of(conversation_id, self.partitions) == partition:
                what = "conversation is in the tables and not in the log"
                self.report.add([Difference("extra", conversation_id, what)])

    async def _unfit(self) -> None:
        rows = await self.db.fetch(
            """
            SELECT partition, record_offset, record::text, error FROM unfit_facts
            WHERE topic_id = $1 ORDER BY partition, record_offset
            """,
            self.topic_id,
        )
        for found in rows:
            record = events.decode_advanced(found["record"].encode())  # not by PostgreSQL: some it cannot read
            if self.project in (None, record.project_id):
                # Behind the colon may stand a value, and what people wrote is not for a terminal.
                why = f"history could not apply it: {found['error'].partition(':')[0]}"
                what = f"the record at partition {found['partition']} offset {found['record_offset']}: {why}"
                self.report.add([Difference("unfit", record.conversation_id, what)])

    def _homeless(self, found: dict[str, dict[str, int]]) -> None:
        for kind, conversations in found.items():
            for conversation_id, count in conversations.items():
                what = f"{counted(count, kind)} of a conversation that the tables do not have"
                self.report.add([Difference("extra", conversation_id, what)])


def _as_json(report: Report) -> dict[str, object]:
    return {
        "clean": not report.counts,
        "at": datetime.now(UTC),
        "offsets": report.offsets,
        "records": report.records,
        "not_stored": report.not_stored,
        "repeated_positions": report.repeated,
        "compared": dict(report.compared),
        "counts": dict(report.counts),
        "differences": [asdict(difference) for difference in report.differences],
    }


def _print(report: Report) -> None:
    rows = ", ".join(counted(count, kind) for kind, count in sorted(report.compared.items())) or "no rows"
    click.echo(f"Facts and tables: {counted(report.records, 'record')} of the log ask for {rows}.")
    if report.not_stored:
        click.echo(f"{counted(report.not_stored, 'newer record')} history has not stored yet: not compared.")
    if report.repeated:
        click.echo(f"{counted(report.repeated, 'record')} of a position that had been there before count for nobody.")
    if not report.counts:
        click.secho("All agree.", fg="green")
        return
    shown = table("what", "conversation", "difference")
    for difference in report.differences[:_SHOWN]:
        row(shown, difference.kind, difference.conversation_id or "", difference.what)
    console().print(shown)
    total = report.counts.total()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.most_common())
    more = f", {total - _SHOWN:,} more than shown" if total > _SHOWN else ""
    click.secho(f"{counted(total, 'difference')}{more}: {kinds}.", fg="red")
