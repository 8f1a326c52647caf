"""`chorus restore`: a backup back into an empty database, and the log into an empty Kafka."""

import asyncio
from pathlib import Path

import asyncpg
import click
from alembic.util.exc import CommandError
from redis.exceptions import RedisError

from infra import backups, migrations, restoring
from infra import redis as our_redis
from infra.backups import Manifest
from infra.operator.places import Places, Refused, database, progress
from infra.operator.shown import counted, data_option, when
from infra.restoring import Plan


@click.command("restore")
@click.argument("backup", default="latest")
@data_option
@click.option("--from", "place", metavar="URL", help="Object store: a folder, s3://… (default: CHORUS_OBJECTS).")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(backup: str, data: Path, place: str | None, dry_run: bool, yes: bool) -> None:
    """Restore BACKUP (default: the newest) into an empty database; `chorus backup list` shows which there are.

    Where Kafka has kept the log, what is newer than the backup comes from there. Where it is empty, the log comes from
    the archive, and clients start anew.
    """
    places = Places.at(data, place)
    manifest = places.do(backups.find(places.objects, backup))
    plan = places.do(_check(places, manifest))
    _say(manifest, plan)
    if dry_run:
        return
    if not yes:
        click.confirm("Restore it?", abort=True)
    left_out = places.do(_restore(places, manifest, plan))
    if left_out:
        click.echo(f"Left out, because no migration makes them: {', '.join(left_out)}.")
    click.echo(
        "Restored. Start Chorus; history then reads what is newer. It is done when `chorus lag` shows no lag, and "
        "right when `chorus audit` finds nothing."
    )


async def _check(places: Places, manifest: Manifest) -> Plan:
    connection = await database(places.postgres)
    try:
        plan = await restoring.check(places.kafka, places.objects, connection, manifest, places.master_key)
    finally:
        await connection.close()
    if plan.publish:
        try:
            async with our_redis.connect(places.redis) as redis:
                await redis.ping()
        except (RedisError, OSError) as error:
            raise Refused(
                f"Redis does not answer ({error}): it must forget what it shows of the log that is gone."
            ) from error
    return plan


def _say(manifest: Manifest, plan: Plan) -> None:
    rows = counted(manifest.rows, "row")
    click.echo(f"Backup {manifest.id} of {when(manifest.taken_at)}: {rows} of {len(manifest.tables)} tables.")
    if plan.publish:
        todo = sum(end - start for start, end in plan.publish.values())
        click.echo(
            f"Kafka does not have its log: {todo:,} records are published from the archive, and {plan.newer:,} of all "
            "are newer than the backup. What was acknowledged after the archive was last made is lost."
        )
    else:
        click.echo(f"Kafka has kept its log: {plan.newer:,} records there are newer than the backup.")
    click.echo("Accounts, projects and agents that were made or changed after the backup are lost in either case.")


async def _restore(places: Places, manifest: Manifest, plan: Plan) -> list[str]:
    with progress() as bars:
        if plan.publish:
            total = sum(end - start for start, end in plan.publish.values())
            log = bars.add_task("log", total=total, unit="records")
            await restoring.publish(
                places.kafka, places.objects, manifest, plan, lambda count: bars.advance(log, count)
            )
            await restoring.skip_published(places.kafka, plan)
            async with our_redis.connect(places.redis) as redis:
                # What it shows is of the log that is gone, and looks as if it were of this one. It is made again.
                await redis.flushdb()
        try:
            await asyncio.to_thread(migrations.remake, places.postgres, manifest.revision)
        except CommandError as error:
            raise Refused(
                f"The backup has schema {manifest.revision}, of Chorus {manifest.chorus}, which this version does not "
                "know: restore it with that version or a newer one."
            ) from error
        except migrations.NotUnicode as error:
            raise Refused(str(error)) from error
        tables = bars.add_task("tables", total=manifest.bytes, unit="bytes")
        connection = await database(places.postgres)
        try:
            left_out = await restoring.load(
                places.objects, connection, manifest, plan, lambda count: bars.advance(tables, count)
            )
        except asyncpg.DataError as error:
            raise Refused(f"The backup does not fit its tables: {error}") from error
        finally:
            await connection.close()
        await asyncio.to_thread(migrations.migrate, places.postgres)
    return left_out
