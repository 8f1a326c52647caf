"""`chorus dlq`: what was put aside, why, and back to its topic."""

from collections import deque
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from infra.operator import local, reached
from infra.operator.aside import Letter, complete, error_option, is_wanted, offsets_option, opened, since_option
from infra.operator.letters import Stretch, Summary, Wanted
from infra.operator.redrive import redrive, redrives
from infra.operator.shown import (
    CannotBeDone,
    console,
    counted,
    data_option,
    json_option,
    moment,
    note,
    print_json,
    print_json_line,
    readable,
    row,
    size,
    table,
    text_or_base64,
    when,
)
from infra.operator.texts import shortened
from infra.settings import KafkaSettings, PostgresSettings
from schemas.dead_letters import own_headers


@click.group()
def command() -> None:
    """Dead letters: list them, look at them, send them back to their topic."""


command.add_command(redrive)
command.add_command(redrives)


# -- list --


@command.command("list")
@click.argument("topic", required=False, shell_complete=complete)
@data_option
@json_option
def list_letters(topic: str | None, data: Path, as_json: bool) -> None:
    """Count the dead letters, of TOPIC or of all, by what went wrong."""
    env = local.environment(data)

    async def work() -> tuple[Summary, int | None]:
        summary = Summary()
        async with opened(KafkaSettings.from_env(env), topic) as found:
            async for letter in found.letters():
                summary.add(letter.record.topic, letter.record.timestamp, letter.failed)
        try:
            async with reached.database(PostgresSettings.from_env(env)) as db:
                return summary, await db.fetchval("SELECT count(*) FROM unfit_facts")
        except CannotBeDone as error:
            note(f"Facts that history could not apply are not counted. {error.message}")
            return summary, None

    summary, unfit = reached.run(work())
    if as_json:
        print_json(
            {
                "letters": [
                    dict(zip(("topic", "error_class", "disposition", "group"), kind, strict=True))
                    | {"count": s.count, "first": moment(s.first_ms), "last": moment(s.last_ms)}
                    for kind, s in summary.newest_first()
                ],
                "unfit_facts": unfit,
            }
        )
        return
    if summary.kinds:
        shown = table("topic", "error", "disposition", "group", "count", "first", "last", right=["count"])
        for kind, s in summary.newest_first():
            row(shown, *kind, f"{s.count:,}", when(moment(s.first_ms)), when(moment(s.last_ms)))
        console().print(shown)
    else:
        click.echo("No dead letters.")
    if unfit:
        click.echo(f"History could not apply {counted(unfit, 'fact')}: see unfit_facts, and `chorus replay history`.")


# -- show --


@command.command()
@click.argument("topic", shell_complete=complete)
@offsets_option
@error_option
@since_option
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@data_option
@json_option
def show(
    topic: str,
    offsets: tuple[Stretch, ...],
    error: str | None,
    since: datetime | None,
    limit: int,
    data: Path,
    as_json: bool,
) -> None:
    """Show dead letters of TOPIC: why, from where, their headers and what is in them. Sealed texts stay sealed."""
    wanted = Wanted(error=error, since=since, offsets=offsets)
    env = local.environment(data)

    async def work() -> tuple[list[Letter], int]:
        newest: deque[Letter] = deque(maxlen=limit)
        count = 0
        async with opened(KafkaSettings.from_env(env), topic) as found:
            async for letter in found.letters():
                if is_wanted(wanted, letter):
                    newest.append(letter)
                    count += 1
        return list(newest), count

    shown, count = reached.run(work())
    for letter in shown:
        if as_json:
            print_json_line(_as_json(letter))
        else:
            _print(letter)
    if not as_json:
        rest = f", the newest {len(shown)} of them are shown: --limit shows more" if count > len(shown) else ""
        click.echo(f"{counted(count, 'dead letter')}{rest}.")


def _print(letter: Letter) -> None:
    record, failed = letter.record, letter.failed
    click.secho(f"{record.topic} {record.partition}:{record.offset}  {when(moment(record.timestamp))}", bold=True)
    tries = counted(failed.attempts, "time")
    facts = {
        "why": f"{failed.error_class} ({failed.disposition}, {failed.stage}) in group {failed.group}, failed {tries}",
        "": failed.error_message,
        "from": f"{failed.topic} {failed.partition}:{failed.offset}",
        "re-driven": failed.redrive_id or "",
        "key": readable(record.key, 200),
        "value": f"{'none' if record.value is None else size(len(record.value))}",
    }
    for name, text in facts.items():
        if text:
            click.echo(f"  {name:<10} {readable(text.encode())}")
    if record.value:
        click.echo(f"  {'':<10} {readable(shortened(record.value), 400)}")
    for header, value in own_headers(record.headers):
        click.echo(f"  {'header':<10} {readable(header.encode())}: {readable(value, 200)}")
    click.echo()


def _as_json(letter: Letter) -> dict[str, object]:
    record = letter.record
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "at": moment(record.timestamp),
        "failure": asdict(letter.failed),
        "size": len(record.key or b"") + len(record.value or b""),
        "key": text_or_base64(record.key),
        "value": text_or_base64(record.value),
        "headers": [[name, text_or_base64(value)] for name, value in own_headers(record.headers)],
    }
