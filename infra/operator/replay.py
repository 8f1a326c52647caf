"""`chorus replay`: rebuild a projection from the log, beside the live one, while people chat."""

import os
import sys
from pathlib import Path

import click

from infra.operator.local import environment
from infra.operator.shown import CannotBeDone, console, data_option, row, table
from infra.settings import BadSetting

CATALOGUE = {
    "history": "conversations, messages, runs and what else PostgreSQL has of the log",
    "live": "the windows in Redis from which screens are filled",
}
"""What may be replayed."""

NEVER = {
    "conversations": "it decides: its state is the facts themselves",
    "replies": "it calls agents: an answer would be asked for, and paid, again",
    "billing": "it moves money: a run is billed once",
    "notifications": "it tells people: they would be told again",
}
"""What may not, and why."""


class _Projection(click.ParamType):
    name = "projection"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in CATALOGUE:
            return value
        why = NEVER.get(value, "there is no such projection")
        shown = table("projection", "what is rebuilt")
        for name, what in CATALOGUE.items():
            row(shown, name, what)
        console(stderr=True).print(shown)
        raise CannotBeDone(f"{value} cannot be replayed: {why}. What can be is listed above.")


@click.command("replay")
@click.argument("projection", type=_Projection())
@click.option(
    "--from",
    "start",
    metavar="earliest|OFFSETS|TIME",
    default="earliest",
    show_default=True,
    help="Rebuild the conversations with a record since then, whole, and keep the others: 0:1200,7:900 "
    "(partition:offset, the others from their end), or a time such as 2h, yesterday, 2026-01-31T08:00:00Z.",
)
@click.option("--into", type=click.Choice(["shadow"]), default="shadow", help="Where to: there is nothing else.")
@click.option("--swap", is_flag=True, help="Then put it in the place of the live one, in one step.")
@click.option("--dry-run", is_flag=True, help="Only say what would be read.")
@click.option("--rate", type=click.FloatRange(min=1), metavar="N", help="At most N records a second.")
@click.option("--nice", type=click.IntRange(0, 19), default=19, show_default=True, help="Give way to other processes.")
@click.option("--undo", is_flag=True, help="history: go on with the tables that the last swap put away.")
@click.option("--drop", is_flag=True, help="Forget what was rebuilt, and what the last swap put away.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@data_option
def command(
    projection: str,
    start: str,
    into: str,
    swap: bool,
    dry_run: bool,
    rate: float | None,
    nice: int,
    undo: bool,
    drop: bool,
    as_json: bool,
    data: Path,
) -> None:
    """Rebuild a projection from the log: history or live.

    It is rebuilt beside the live one while people chat, compared with it, and swapped in where --swap says so. Killed
    or stopped, the same command goes on. It gives way to other processes, and can neither call an
    agent nor tell anybody.

    Exit code 0: done; 1: compared, different and not swapped; 2: cannot be done.
    """
    flags = {"--swap": swap, "--dry-run": dry_run, "--undo": undo, "--drop": drop, "--json": as_json}
    arguments = [projection, "--from", start, "--nice", str(nice), *(flag for flag, given in flags.items() if given)]
    if rate is not None:
        arguments += ["--rate", str(rate)]
    try:
        env = {"CHORUS_DATA": str(data.resolve())} | environment(data.resolve())
    except BadSetting as error:
        raise CannotBeDone(f"{error}.") from error
    os.execve(sys.executable, [sys.executable, "-m", "streams", "replay", *arguments], env)
