"""`chorus archive`: conversation-events to the object store, and what was archived out of Kafka."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click
from rich.text import Text

from infra import archives, backups, chores, trimming
from infra.archives import Copied, Verified
from infra.operator.places import Places, database, progress
from infra.operator.reached import Time
from infra.operator.shown import console, counted, data_option, json_option, print_json, row, size, table
from infra.trimming import Trim


@click.command("archive")
@data_option
@click.option("--to", "place", metavar="URL", help="Object store: a folder, s3://… (default: CHORUS_OBJECTS).")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--verify", is_flag=True, help="Read all back instead; exit code 1 where something is missing or damaged."
)
@click.option(
    "--trim-before", type=Time(), metavar="TIME", help="Then remove from Kafka what is archived and older (30d)."
)
@json_option
def command(
    data: Path, place: str | None, dry_run: bool, verify: bool, trim_before: datetime | None, as_json: bool
) -> None:
    """Copy what is new in conversation-events to the object store."""
    places = Places.at(data, place)
    if verify:
        _show_verified(places, places.do(_verify(places)), as_json)
        return
    copied = places.do(copy(places, dry_run))
    trims = places.do(_trim(places, trim_before, dry_run)) if trim_before else []
    if as_json:
        shown = {"copied": [asdict(c) for c in copied], "trimmed": [asdict(t) for t in trims], "dry_run": dry_run}
        print_json(shown)
        return
    new = counted(sum(c.records for c in copied), "record")
    if dry_run:
        click.echo(f"Would archive {new}: {places.objects.place} would then hold {_held(copied):,}.")
    else:
        segments, written = sum(c.segments for c in copied), sum(c.bytes for c in copied)
        click.echo(
            f"Archived {new} in {counted(segments, 'segment')} of {size(written)}: "
            f"{places.objects.place} now holds {_held(copied):,}."
        )
    if trims:
        _show_trims(trims, dry_run)


async def copy(places: Places, dry_run: bool = False) -> list[Copied]:
    """Archive what is new, and note whose keys are destroyed. Raises what `archives.copy_partition` does."""
    topic_id = await archives.topic_id(places.kafka)
    archived = await archives.segments(places.objects, topic_id)
    todo = await archives.to_copy(places.kafka, archived)
    if dry_run:
        return todo
    copied = []
    with progress() as bars:
        bar = bars.add_task("archive", total=sum(t.records for t in todo), unit="records")
        for one in todo:
            copied.append(
                await archives.copy_partition(
                    places.objects,
                    places.kafka,
                    topic_id,
                    archived.get(one.partition, []),
                    one,
                    lambda count: bars.advance(bar, count),
                )
            )
    connection = await database(places.postgres)
    try:
        await backups.note_destroyed(places.objects, connection)
        await chores.done(connection, "archive", {"records": _held(copied)})
    finally:
        await connection.close()
    return copied


async def _verify(places: Places) -> list[Verified]:
    found = []
    topics = {t: await archives.segments(places.objects, t) for t in await archives.topics_in(places.objects)}
    with progress() as bars:
        bar = bars.add_task(
            "verify", total=sum(sum(archives.reach(a).values()) for a in topics.values()), unit="records"
        )
        for topic_id, archived in topics.items():
            for partition in sorted(archived):
                found.append(
                    await archives.verify(
                        places.objects, topic_id, partition, archived[partition], lambda count: bars.advance(bar, count)
                    )
                )
    return found


async def _trim(places: Places, before: datetime, dry_run: bool) -> list[Trim]:
    connection = await database(places.postgres)
    try:
        every = await backups.every(places.objects)
        trims = await trimming.plan(places.kafka, places.objects, connection, every, before)
    finally:
        await connection.close()
    if dry_run:
        return trims
    topic_id = await archives.topic_id(places.kafka)
    archived = await archives.segments(places.objects, topic_id)
    for todo in trims:
        # What leaves Kafka is read back first: a listing says what was written, not what is there.
        async for _ in archives.read_archived(places.objects, archived.get(todo.partition, []), todo.first, todo.until):
            pass
    await trimming.trim(places.kafka, trims)
    return trims


def _held(copied: Sequence[Copied]) -> int:
    return sum(c.end for c in copied)


def _show_verified(places: Places, found: list[Verified], as_json: bool) -> None:
    wrong = [v for v in found if v.problem]
    if as_json:
        print_json([asdict(v) for v in found])
    elif not found:
        click.echo(f"There is no archive in {places.objects.place}.")
    else:
        numbers = ("partition", "segments", "size", "records")
        shown = table("topic id", *numbers, "state", right=numbers)
        for v in found:
            state = Text(v.problem, style="red") if v.problem else Text("whole", style="green")
            row(shown, v.topic_id, v.partition, v.segments, size(v.bytes), f"{v.end:,}", state)
        console().print(shown)
    if wrong or not found:
        sys.exit(1)


def _show_trims(trims: list[Trim], dry_run: bool) -> None:
    numbers = ("partition", "from", "up to", "records")
    shown = table(*numbers, "no more, because the rest is", right=numbers)
    for t in trims:
        row(shown, t.partition, t.first, t.until, f"{t.until - t.first:,}", t.limit)
    console().print(shown)
    gone = counted(sum(t.until - t.first for t in trims), "record")
    click.echo(f"{'Would remove' if dry_run else 'Removed'} {gone} from Kafka; the archive has them.")
