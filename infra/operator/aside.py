"""Reading dead letters, and saying which."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import click
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from click.shell_completion import CompletionItem
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from infra.operator import reached
from infra.operator.letters import BadOffsets, Stretch, Wanted
from infra.operator.reached import Record
from infra.operator.shown import console
from infra.settings import KafkaSettings
from schemas.dead_letters import Failure, dead_letter_topic, failure, original_topic
from schemas.topics import TOPICS


class Offsets(click.ParamType):
    name = "[p:]a-b"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Stretch:
        try:
            return value if isinstance(value, Stretch) else Stretch.of(value)
        except BadOffsets as error:
            self.fail(str(error), param, ctx)


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(topic.name) for topic in TOPICS if topic.name.startswith(incomplete)]


error_option = click.option("--error", metavar="CLASS", help="Only of this class of error, such as InvalidRecord.")
since_option = click.option("--since", type=reached.Time(), help="Only put aside since then, such as 2h or yesterday.")
offsets_option = click.option(
    "--offsets", type=Offsets(), multiple=True, help="Only these offsets of the dead-letter topic; may be repeated."
)


@dataclass(frozen=True, slots=True)
class Letter:
    record: Record
    failed: Failure


@dataclass(frozen=True, slots=True)
class Found:
    """Dead letters of some topics, as they were when the command began."""

    reader: AIOKafkaConsumer
    spans: dict[TopicPartition, tuple[int, int]]

    def count(self) -> int:
        return sum(end - start for start, end in self.spans.values())

    async def letters(self) -> AsyncGenerator[Letter, None]:
        with Progress(
            TextColumn("reading"), BarColumn(), MofNCompleteColumn(), console=console(stderr=True), transient=True
        ) as bar:
            task = bar.add_task("", total=self.count())
            async for record in reached.records(self.reader, self.spans):
                bar.advance(task)
                yield Letter(record, failure(record.headers))


@asynccontextmanager
async def opened(settings: KafkaSettings, topic: str | None) -> AsyncGenerator[Found, None]:
    if topic is None:
        there = await reached.partitions(settings)
        where = [TopicPartition(n, p) for n, count in there.items() if n != original_topic(n) for p in range(count)]
    else:
        where = await reached.partitions_of(settings, dead_letter_topic(original_topic(topic)))
    async with reached.consumer(settings) as reader:
        yield Found(reader, await reached.whole(reader, where))


def is_wanted(wanted: Wanted, letter: Letter) -> bool:
    record = letter.record
    return wanted.holds(record.partition, record.offset, record.timestamp, letter.failed)
