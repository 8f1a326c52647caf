"""`chorus topics`: what topics there are to be, what there is, and where the two differ."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import click
from aiokafka.structs import TopicPartition
from confluent_kafka import TopicCollection
from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]
from rich.text import Text

from infra.kafka import admin, create_topics, wanted_topics
from infra.operator import local, reached
from infra.operator.shown import CannotBeDone, console, data_option, json_option, note, print_json, row, table
from infra.settings import KafkaSettings
from schemas.topics import TOPICS

_ANSWER_S = 10.0
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """A topic as it is.

    Attributes:
        settings: as Kafka names them.
        copies: of its least copied partition; `in_sync` of them follow, fewest.
        records: that are kept now.
    """

    partitions: int
    copies: int
    in_sync: int
    records: int
    settings: Mapping[str, str] = field(default_factory=dict)


def differences(
    partitions: int, configured: Mapping[str, int | str], replication: int, actual: Actual | None
) -> list[str]:
    """How a topic is not what it is to be, in words."""
    if actual is None:
        return ["missing: chorus topics --create"]
    found = []
    if actual.partitions != partitions:
        found.append(f"{actual.partitions} partitions, not {partitions}")
    if actual.copies < replication:
        found.append(f"{actual.copies} copies, not {replication}")
    if actual.in_sync < actual.copies:
        found.append(f"only {actual.in_sync} of {actual.copies} copies in sync")
    for name, value in {"cleanup.policy": "delete", **configured}.items():
        is_set = actual.settings.get(name, "?")
        if is_set != str(value):
            found.append(f"{name} {is_set}, not {value}")
    return found


@click.command()
@click.option("--create", is_flag=True, help="Make those that are missing.")
@data_option
@json_option
def command(create: bool, data: Path, as_json: bool) -> None:
    """List the topics: who writes and reads them, how they are kept, and where the real ones differ from that.

    Exit code 0 where all are as they are to be, 1 where some are not, 2 where Kafka does not answer.
    """
    settings = KafkaSettings.from_env(local.environment(data))
    if create:
        with reached.kafka(settings):
            made = create_topics(settings)
        click.echo(f"Made {', '.join(made)}." if made else "All topics are there.", err=True)
        if not as_json:
            return
    away = None
    try:
        actual = reached.run(_actual(settings))
    except CannotBeDone as error:
        actual, away = {}, error
    wanted = wanted_topics(settings)
    wrong: dict[str, list[str]] = {
        name: [] if away else differences(partitions, configured, settings.replication, actual.get(name))
        for name, (partitions, configured) in wanted.items()
    }
    if as_json:
        print_json(_as_json(actual, wrong))
    else:
        _print(actual, wrong)
    if away is not None:
        note(f"The real topics are not shown. {away.message}")
        sys.exit(2)
    if any(wrong.values()):
        sys.exit(1)


async def _actual(settings: KafkaSettings) -> dict[str, Actual]:
    there = await reached.partitions(settings)  # says soon where nobody listens
    names = [name for name in wanted_topics(settings) if name in there]
    async with reached.consumer(settings) as reader:
        where = [TopicPartition(name, p) for name in names for p in range(there[name])]
        records: dict[str, int] = dict.fromkeys(names, 0)
        for one, (first, end) in (await reached.whole(reader, where) if where else {}).items():
            records[one.topic] += end - first
        described, configured = await asyncio.to_thread(_describe, settings, names)
    return {
        name: Actual(
            partitions=there[name],
            copies=min(len(partition.replicas) for partition in described[name].partitions),
            in_sync=min(len(partition.isr) for partition in described[name].partitions),
            records=records[name],
            settings=configured[name],
        )
        for name in names
    }


def _describe(settings: KafkaSettings, names: list[str]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    if not names:
        return {}, {}
    client = admin(settings)
    described = client.describe_topics(TopicCollection(names), request_timeout=_ANSWER_S)
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configs = client.describe_configs(resources, request_timeout=_ANSWER_S)
    told = {resource.name: cast("Any", future.result(_ANSWER_S)) for resource, future in configs.items()}
    return (
        {name: future.result(_ANSWER_S) for name, future in described.items()},
        {name: {setting: entry.value for setting, entry in found.items()} for name, found in told.items()},
    )


def _as_json(actual: Mapping[str, Actual], wrong: Mapping[str, list[str]]) -> list[dict[str, object]]:
    def one(name: str) -> dict[str, object]:
        found = actual.get(name)
        kept = ("retention.ms", "max.message.bytes", "min.insync.replicas", "cleanup.policy")
        shown = None if found is None else asdict(found) | {"settings": {k: found.settings.get(k) for k in kept}}
        return {"actual": shown, "differences": wrong[name]}

    return [
        {
            "name": topic.name,
            "key": topic.key,
            "owner": topic.owner,
            "writers": topic.writers,
            "readers": topic.readers,
            "partitions": topic.partitions,
            "retention_ms": topic.retention_ms,
            "compacted": topic.compacted,
            "dead_letters": topic.dead_letters,
            **one(topic.name),
            "dead_letter_topic": one(topic.dead_letters),
        }
        for topic in TOPICS
    ]


def _print(actual: Mapping[str, Actual], wrong: Mapping[str, list[str]]) -> None:
    numbers = ("partitions", "copies", "records", "dead letters")
    shown = table("topic", "key", "writers", "readers", "kept", *numbers, right=numbers)
    differs: list[str] = []
    for topic in TOPICS:
        kept = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // _DAY_MS} days"
        kept = "newest of a key" if topic.compacted else kept
        found, letters = actual.get(topic.name), actual.get(topic.dead_letters)
        differs += [f"{name}: {what}" for name in (topic.name, topic.dead_letters) for what in wrong[name]]
        row(
            shown,
            *(topic.name, topic.key, ", ".join(topic.writers), ", ".join(topic.readers), kept, topic.partitions),
            *("", "") if found is None else (found.copies, f"{found.records:,}"),
            "" if letters is None else Text(f"{letters.records:,}", style="yellow" if letters.records else ""),
        )
    console().print(shown)
    for line in differs:
        console().print(Text(line, style="red"), soft_wrap=True)
