"""`chorus tail`: what is in a topic, decoded; with the key of a conversation, its life so far."""

import re
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import asyncpg
import click
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from infra.kafka import partition_of
from infra.keyring import Keyring
from infra.operator import lines, local, reached, texts
from infra.operator.aside import complete
from infra.operator.reached import Record
from infra.operator.shown import (
    data_option,
    json_option,
    moment,
    note,
    print_json_line,
    readable,
    safe,
    text_or_base64,
    when,
)
from infra.settings import KafkaSettings, PostgresSettings, SealingSettings
from schemas import events
from schemas.contract import InvalidRecord
from schemas.dead_letters import failure, original_topic
from schemas.topics import CONVERSATION_EVENTS, TOPICS

_LAST = 10
"""Records that are shown where nothing says from where on."""
_FOLLOW_MS = 500
_TYPE_WIDTH = 22
_LONGEST = 300
"""Characters of a line's text where it is not JSON."""


@dataclass(frozen=True, slots=True)
class _From:
    """From where on: the last so many, a time, or, where both are None, one end of the topic."""

    last: int | None = None
    at: datetime | None = None
    earliest: bool = False


class _Start(click.ParamType):
    name = "from"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _From:
        if isinstance(value, _From):
            return value
        if value in ("earliest", "latest"):
            return _From(earliest=value == "earliest")
        if re.fullmatch(r"-\d{1,9}", value):
            return _From(last=-int(value))
        return _From(at=reached.Time().convert(value, param, ctx))


@click.command()
@click.argument("topic", shell_complete=complete)
@click.option("--from", "start", type=_Start(), metavar="WHERE", help="earliest, latest, a time such as 2h, or -N.")
@click.option("--key", metavar="ID", help="Only this key: of a conversation's facts with its state after each.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after so many.")
@click.option("--follow/--no-follow", default=None, help="Wait for more (with --from latest this is so anyway).")
@click.option("--open", "open_texts", is_flag=True, help="Show what people wrote. Needs the master key.")
@data_option
@json_option
def command(
    topic: str,
    start: _From | None,
    key: str | None,
    limit: int | None,
    follow: bool | None,
    open_texts: bool,
    data: Path,
    as_json: bool,
) -> None:
    """Show the records of TOPIC, decoded, in the order of their times; the last 10 where nothing else is said."""
    env = local.environment(data)
    kafka = KafkaSettings.from_env(env)
    start = start or (_From(last=_LAST) if key is None else _From(earliest=True))
    if follow is None:
        follow = start == _From()
    printer = _Printer(topic, as_json, travel=lines.Travel() if key and topic == CONVERSATION_EVENTS.topic else None)

    async def work() -> None:
        where = await reached.partitions_of(kafka, topic)
        if key is not None:
            where = [where[partition_of(key, len(where))]]
        async with AsyncExitStack() as stack:
            if open_texts:
                db = await stack.enter_async_context(reached.database(PostgresSettings.from_env(env)))
                pool = cast("asyncpg.Pool[asyncpg.Record]", db)  # it looks keys up as a pool does
                printer.keyring = Keyring(pool, SealingSettings.from_env(env))
            reader = await stack.enter_async_context(reached.consumer(kafka))
            await _print(_Tail(reader, where, start, key, bool(follow)), printer, limit)

    try:
        reached.run(work())
    finally:
        printer.say_whose()


@dataclass(frozen=True, slots=True)
class _Tail:
    reader: AIOKafkaConsumer
    where: list[TopicPartition]
    start: _From
    key: str | None
    follow: bool

    async def records(self, *, whole: bool) -> AsyncGenerator[tuple[Record, bool], None]:
        """The records, and whether they are to be shown; `whole` reads the ones before the first shown, too."""
        spans = await reached.whole(self.reader, self.where)
        shown_from = await self._starts(spans)
        read = spans if whole else {p: (shown_from[p], end) for p, (_, end) in spans.items()}
        last: deque[tuple[Record, bool]] = deque(maxlen=self.start.last)
        async with aclosing(reached.records(self.reader, read)) as there:
            async for record in there:
                if self._is_meant(record):
                    shown = record.offset >= shown_from[TopicPartition(record.topic, record.partition)]
                    if self.start.last is None:
                        yield record, shown
                        continue
                    if whole and len(last) == last.maxlen:
                        yield last[0][0], False
                    last.append((record, True))
        for found in last:
            yield found
        if self.follow:
            async for record in self._coming({p: end for p, (_, end) in spans.items()}):
                yield record, True

    async def _starts(self, spans: dict[TopicPartition, tuple[int, int]]) -> dict[TopicPartition, int]:
        start = self.start
        if start.earliest or (start.last is not None and self.key is not None):
            return {p: first for p, (first, _) in spans.items()}
        if start.last is not None:
            return {p: max(first, end - start.last) for p, (first, end) in spans.items()}
        if start.at is None:
            return {p: end for p, (_, end) in spans.items()}
        found = await self.reader.offsets_for_times(dict.fromkeys(spans, max(0, int(start.at.timestamp() * 1000))))
        return {p: end if found.get(p) is None else found[p].offset for p, (_, end) in spans.items()}

    async def _coming(self, ends: dict[TopicPartition, int]) -> AsyncGenerator[Record, None]:
        self.reader.assign(list(ends))
        for where, end in ends.items():
            self.reader.seek(where, end)
        while True:
            found = await self.reader.getmany(timeout_ms=_FOLLOW_MS)
            came = [record for records in found.values() for record in records if self._is_meant(record)]
            for record in sorted(came, key=lambda r: (r.timestamp, r.partition, r.offset)):
                yield record

    def _is_meant(self, record: Record) -> bool:
        return self.key is None or record.key == self.key.encode()


async def _print(tail: _Tail, printer: "_Printer", limit: int | None) -> None:
    count = 0
    async with aclosing(tail.records(whole=printer.travel is not None)) as records:
        async for record, shown in records:
            await printer.add(record, shown=shown)
            count += shown
            if count == limit:
                return


@dataclass(slots=True)
class _Read:
    """A record's event, its texts as they are to be shown, or why it cannot be read."""

    event: Any = None
    kind: str = "?"
    why: str | None = None
    deleted: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Printer:
    topic: str
    as_json: bool
    travel: lines.Travel | None = None
    keyring: Keyring | None = None
    opened: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    async def add(self, record: Record, *, shown: bool) -> None:
        read = await self._read(record)
        event = read.event
        odd = None
        if self.travel is not None and isinstance(event, events.ConversationAdvanced):
            odd = self.travel.add(event)
        if not shown:
            return
        if self.as_json:
            print_json_line(self._as_json(record, read, odd))
        elif self.travel is not None and isinstance(event, events.ConversationAdvanced):
            self._print_step(record, event, odd)
        else:
            self._print_line(record, read)

    async def _read(self, record: Record) -> _Read:
        contract = next((t.contract for t in TOPICS if t.name == original_topic(self.topic)), None)
        if contract is None:
            return _Read(why="no contract explains this topic")
        try:
            event, envelope = contract.decode(record.value, record.headers)
        except InvalidRecord as error:
            return _Read(why=str(error))
        if self.keyring is None:
            return _Read(event if self.as_json else texts.with_texts(event, texts.sealed), envelope.type)
        keys = await self.keyring.keys(texts.owners(event))
        self.opened.update(owner for owner, found in keys.items() if found is not None)
        self.gone.update(owner for owner, found in keys.items() if found is None)
        opener = texts.Opener(keys)
        shown = texts.with_texts(event, opener if self.as_json else opener.quoted)
        return _Read(shown, envelope.type, deleted=opener.deleted)

    def _head(self, record: Record) -> str:
        return f"{when(moment(record.timestamp), millis=True)}  {f'{record.partition}:{record.offset}':<10}"

    def _print_line(self, record: Record, read: _Read) -> None:
        what = (
            lines.said(read.event)
            if read.why is None
            else f"{read.why}: {readable(texts.shortened(record.value or b''))}"
        )
        if self.topic != original_topic(self.topic):
            failed = failure(record.headers)
            what = f"[{failed.error_class} in {failed.group}] {what}"
        what = safe(what)
        what = what if len(what) <= _LONGEST else f"{what[:_LONGEST]}…"
        type_name = click.style(
            f"{safe(lines.short_type(read.kind)):<{_TYPE_WIDTH}}", fg="cyan" if read.why is None else "red"
        )
        click.echo(f"{self._head(record)}  {readable(record.key, 36):<36}  {type_name}  {what}")

    def _print_step(self, record: Record, event: events.ConversationAdvanced, odd: str | None) -> None:
        assert self.travel is not None
        click.secho(f"{self._head(record)}  position {event.position}, caused by {event.cause}", bold=True)
        for it in event.facts:
            name, what = lines.fact(it)
            click.echo(f"    {click.style(f'{safe(name):<{_TYPE_WIDTH}}', fg='cyan')}  {safe(what)}")
        if odd is not None:
            click.secho(f"  ! {odd}", fg="red")
        click.secho(f"  = {safe(' · '.join(self.travel.state()))}", dim=True)

    def _as_json(self, record: Record, read: _Read, odd: str | None) -> dict[str, object]:
        event = read.event
        if isinstance(event, events.ConversationAdvanced):
            event = msgspec.json.decode(events.encode_advanced(event))  # facts of a later version stay as they are
        shown = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "at": moment(record.timestamp),
            "key": text_or_base64(record.key),
            "type": read.kind,
            "headers": [[name, text_or_base64(value)] for name, value in record.headers],
            "event": event,
        }
        if read.why is not None:
            shown |= {"unreadable": read.why, "value": text_or_base64(record.value)}
        if self.keyring is not None:
            shown["deleted"] = read.deleted
        if self.travel is not None:
            shown |= {"state": self.travel.view, "odd": odd}
        return shown

    def say_whose(self) -> None:
        if self.opened:
            note(f"Texts were opened with the keys of {', '.join(sorted(self.opened))}.")
        if self.gone:
            note(f"There is no key any more of {', '.join(sorted(self.gone))}: their texts are deleted.")
