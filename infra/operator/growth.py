"""`chorus growth`: what takes room, and how fast it grows."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from infra import growth
from infra import redis as our_redis
from infra.kafka import end_offsets, first_offsets, offsets_at
from infra.log_dirs import topic_bytes
from infra.operator.places import Places, database
from infra.operator.shown import console, data_option, json_option, print_json, row, size, table
from schemas.topics import TOPICS


@click.command("growth")
@data_option
@json_option
def command(data: Path, as_json: bool) -> None:
    """Show what takes room: tables, topics, Redis, and what is free on the data folder's disk."""
    found = Places.at(data, None)
    shown = found.do(_look(found))
    folder = data.resolve()
    disk = shutil.disk_usage(folder if folder.exists() else Path.cwd())
    if as_json:
        print_json([dict(zip(("kind", "name", "bytes", "count", "bytes_a_day"), one, strict=True)) for one in shown])
        return
    numbers = ("size", "rows or records", "last 24 h")
    lines = table("what", "name", *numbers, right=numbers)
    for kind, name, count_bytes, count, a_day in shown:
        day = "" if a_day is None else f"+{size(a_day)}"
        row(lines, kind, name, size(count_bytes), "" if count is None else f"{count:,}", day)
    console().print(lines)
    click.echo(f"The disk of {folder} has {size(disk.free)} free of {size(disk.total)}.")


_Line = tuple[str, str, int, int | None, int | None]


async def _look(places: Places) -> list[_Line]:
    connection = await database(places.postgres)
    try:
        tables = await growth.tables(connection)
    finally:
        await connection.close()
    lines: list[_Line] = [("table", name, count, rows, None) for name, (count, rows) in tables.sizes.items()]
    lines += await _topics(places)
    async with our_redis.connect(places.redis) as redis:
        used, _ = await growth.redis_memory(redis)
    return [*lines, ("redis", "memory", used, None, None)]


async def _topics(places: Places) -> list[_Line]:
    sizes = await topic_bytes(places.kafka)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    lines: list[_Line] = []
    for topic in TOPICS:
        for name in (topic.name, topic.dead_letters):
            partitions = set(range(topic.partitions))
            firsts, ends, before = await asyncio.gather(
                first_offsets(places.kafka, name, partitions),
                end_offsets(places.kafka, name, partitions),
                offsets_at(places.kafka, name, dict.fromkeys(partitions, yesterday)),
            )
            count, new = sum(ends.values()) - sum(firsts.values()), sum(ends.values()) - sum(before.values())
            held = sizes.get(name, 0)
            lines.append(("topic", name, held, count, held * new // count if count else 0))
    return sorted(lines, key=lambda line: -line[2])
