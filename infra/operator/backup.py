"""`chorus backup`: everything that is needed to begin again, but for the master key."""

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from infra import archives, backups, chores, dumps
from infra.backups import Manifest, Topic
from infra.kafka import end_offsets, topic_ids
from infra.operator import archive
from infra.operator.places import Places, Refused, database, progress
from infra.operator.shown import (
    console,
    counted,
    data_option,
    duration,
    json_option,
    print_json,
    row,
    size,
    table,
    when,
)
from infra.version import VERSION
from schemas.topics import TOPICS

_place = click.option("--to", "place", metavar="URL", help="Object store: a folder, s3://… (default: CHORUS_OBJECTS).")


@click.group("backup", invoke_without_command=True)
@data_option
@_place
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Then remove all but the newest N.")
@json_option
@click.pass_context
def command(ctx: click.Context, data: Path, place: str | None, keep: int | None, as_json: bool) -> None:
    """Back up the database, and archive the log up to now. People chat on meanwhile."""
    if ctx.invoked_subcommand is not None:
        return
    places = Places.at(data, place)
    manifest = places.do(_take(places))
    gone = places.do(backups.prune(places.objects, keep, datetime.now(UTC))) if keep else []
    if as_json:
        print_json(_as_json(manifest) | {"place": places.objects.place, "removed": gone})
        return
    click.echo(
        f"Backup {manifest.id} in {places.objects.place}: {counted(manifest.rows, 'row')} of {len(manifest.tables)} "
        f"tables, {size(manifest.bytes)} of text, in {duration(manifest.duration_s)}; "
        f"the archive holds {counted(sum(manifest.archived.values()), 'record')} of the log."
    )
    if gone:
        click.echo(f"Removed {', '.join(gone)}.")
    click.echo("The master key is not in it: keep that elsewhere, without it nobody reads the texts again.")


@command.command("list")
@data_option
@_place
@json_option
def list_backups(data: Path, place: str | None, as_json: bool) -> None:
    """List the backups that are whole, oldest first. Exit code 1 where there is none."""
    places = Places.at(data, place)
    found = places.do(backups.every(places.objects))
    if as_json:
        print_json([_as_json(manifest) for manifest in found])
    elif not found:
        click.echo(f"There is no backup in {places.objects.place}.")
    else:
        numbers = ("rows", "size", "log")
        shown = table("backup", "taken", *numbers, "schema", "version", "took", right=numbers)
        for m in found:
            log = f"{sum(m.archived.values()):,}"
            took = duration(m.duration_s)
            row(shown, m.id, when(m.taken_at), f"{m.rows:,}", size(m.bytes), log, m.revision, m.chorus, took)
        console().print(shown)
    if not found:
        sys.exit(1)


@dataclass(frozen=True)
class _Dumped:
    taken_at: datetime
    revision: str
    sinks: dict[str, dict[int, int]]
    tables: list[dumps.Table]


async def _take(places: Places) -> Manifest:
    began = time.monotonic()
    backup_id = backups.new_id(datetime.now(UTC))
    if backup_id in await backups.names(places.objects):
        raise Refused(f"There is a backup {backup_id} already: wait a second.")
    ids = await topic_ids(places.kafka, [topic.name for topic in TOPICS])
    dumped = await _dump(places, backup_id, ids[archives.TOPIC])
    # After the tables: whatever they hold of the log is then in the archive too.
    copied = await archive.copy(places)
    archived = {one.partition: one.end for one in copied}
    for sink, offsets in dumped.sinks.items():
        for partition, offset in offsets.items():
            if offset > archived[partition]:
                raise Refused(
                    f"{sink} has stored {archives.TOPIC} partition {partition} up to offset {offset}, but the log ends "
                    f"at {archived[partition]}: it was cut back, and this would be no backup of it."
                )
    topics = {
        topic.name: Topic(ids[topic.name], await end_offsets(places.kafka, topic.name, set(range(topic.partitions))))
        for topic in TOPICS
    }
    manifest = Manifest(
        id=backup_id,
        taken_at=dumped.taken_at,
        chorus=VERSION,
        revision=dumped.revision,
        sinks=dumped.sinks,
        archived=archived,
        topics=topics,
        tables=dumped.tables,
        master_key=backups.fingerprint(places.master_key) if places.master_key else None,
        duration_s=time.monotonic() - began,
    )
    await backups.write(places.objects, manifest)
    connection = await database(places.postgres)
    try:
        await chores.done(connection, "backup", {"id": backup_id, "place": places.objects.place})
    finally:
        await connection.close()
    return manifest


async def _dump(places: Places, backup_id: str, topic_id: str) -> _Dumped:
    """All tables as they were at one moment: readers and writers go on, and are not seen."""
    connection = await database(places.postgres)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            revision = await connection.fetchval("SELECT version_num FROM alembic_version")
            taken_at = await connection.fetchval("SELECT now()")
            rows = await connection.fetch(
                "SELECT sink, partition, next_offset FROM sink_offsets WHERE topic_id = $1", topic_id
            )
            sinks: dict[str, dict[int, int]] = {}
            for row in rows:
                sinks.setdefault(row["sink"], {})[row["partition"]] = row["next_offset"]
            tables = await dumps.tables(connection)
            dumped = []
            with progress() as bars:
                bar = bars.add_task("tables", total=len(tables), unit="")
                for name, columns in tables.items():
                    bars.update(bar, description=name, unit="")
                    written = 0

                    def told(count: int) -> None:
                        nonlocal written
                        written += count
                        bars.update(bar, unit=size(written))

                    dumped.append(
                        await dumps.dump(connection, places.objects, backups.folder(backup_id), name, columns, told)
                    )
                    bars.advance(bar)
        return _Dumped(taken_at, revision, sinks, dumped)
    finally:
        await connection.close()


def _as_json(manifest: Manifest) -> dict[str, object]:
    return {
        "id": manifest.id,
        "taken_at": manifest.taken_at.isoformat(),
        "chorus": manifest.chorus,
        "revision": manifest.revision,
        "topic_id": manifest.topics[archives.TOPIC].id,
        "tables": {table.name: table.rows for table in manifest.tables},
        "bytes": manifest.bytes,
        "archived": manifest.archived,
        "duration_s": round(manifest.duration_s, 3),
    }
