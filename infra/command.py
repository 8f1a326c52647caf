"""The `chorus` command: one front door for running, looking and operating."""

import asyncio
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from rich.console import Console

from infra.operator.shown import CannotBeDone
from infra.settings import BadSetting, PostgresSettings
from infra.stack import state as states
from infra.stack.config import StackConfig
from infra.stack.part import Part, StackError, Step
from infra.stack.processes import PACKAGE_OF
from infra.stack.supervisor import end_leftovers

STOP_LIMIT_S = 25.0
"""`chorus down` waits this long; the stack itself needs at most 20 s."""

_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="CHORUS_DATA",
    default=Path(".chorus"),
    show_default=True,
    help="Folder of all data and logs.",
)


OPERATOR = {
    "archive": "Copy the log to the object store.",
    "audit": "Compare the facts with the tables.",
    "backup": "Back up the database, and archive the log.",
    "dlq": "List dead letters, look at them, send them back.",
    "growth": "Show what takes room.",
    "lag": "Show who is behind, and how far.",
    "replay": "Rebuild a projection from the log.",
    "restore": "Restore a backup.",
    "status": "Show what runs, and what is wrong.",
    "tail": "Show what is in a topic, or a conversation as it happened.",
    "topics": "Show the topics, and whether they are as they are to be.",
}
"""Commands in modules of their own, `infra.operator.<name>`: their clients are slow to import, so that is done only
when one is called, and not to list them or to complete a word."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *OPERATOR])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in OPERATOR:
            return super().get_command(ctx, cmd_name)
        return click.Command(cmd_name, help=OPERATOR[cmd_name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name in OPERATOR:
            command = importlib.import_module(f"infra.operator.{name}").command
        return name, command, rest

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BadSetting as error:
            raise CannotBeDone(f"{error}.") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Chorus: real-time chat where people and AI agents share conversations."""


@main.command()
@_data
@click.option("--agent", metavar="URL", help="An OpenAI-compatible server (its /v1) instead of the local model.")
@click.option("--model", metavar="NAME", help="The model's name at that server.")
@click.option("--gateways", type=click.IntRange(1, 64), help="Gateway processes, each also on a port from 8101 on.")
@click.option("--infrastructure", is_flag=True, help="Only Kafka, PostgreSQL and Redis, with topics and tables made.")
@click.option("--detach", is_flag=True, help="Return when everything is ready; `chorus down` stops it.")
def up(
    data: Path, agent: str | None, model: str | None, gateways: int | None, infrastructure: bool, detach: bool
) -> None:
    """Start everything on this machine and print the address."""
    release = _detach() if detach else None
    from infra.stack import (
        up as stack,
    )  # slow to import (database and broker clients): no other command pays for it

    console = Console(highlight=False)
    data = data.resolve()

    def report(what: Part | Step, seconds: float) -> None:
        address = f"127.0.0.1:{what.port}" if isinstance(what, Part) and what.port else ""
        console.print(f"[green]✓[/] {what.title:<16} ready in {seconds:4.1f} s  [dim]{address}[/]")

    def on_ready(seconds: float) -> None:
        console.print(f"Chorus is ready after {seconds:.1f} s: [bold]{config.url}[/]")
        if release is not None:
            release(config.logs / "up.log")

    try:
        config = StackConfig.from_env(os.environ, data, agent, model, gateways)
        stack.check_folder(data)
        with states.held(data):
            killed = asyncio.run(stack.run(config, processes=not infrastructure, report=report, on_ready=on_ready))
    except states.AlreadyRunning:
        running = states.read(data)
        console.print(f"Chorus is running already: {running.url if running else data}")
    except (StackError, BadSetting) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a file in it that belongs to somebody else, a disk that got full
        raise click.ClickException(f"The data folder {data} cannot be used: {error}.") from error
    else:
        console.print(f"Stopped; had to be killed: {', '.join(killed)}." if killed else "Stopped.")


def _detach() -> Callable[[Path], None]:
    """Go on as a background process, while the calling one waits for it to be ready or to end.

    Returns:
        to be called when ready: sends what is printed from then on to this file, and lets the waiting process end.
    """
    waiting, ready = os.pipe()
    child = os.fork()
    if child:
        os.close(ready)
        try:
            if os.read(waiting, 1):
                os._exit(0)
        except KeyboardInterrupt:
            os.kill(child, signal.SIGTERM)
        os._exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    os.close(waiting)
    os.setsid()

    def release(log: Path) -> None:
        with log.open("ab") as file, open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.write(ready, b"1")
        os.close(ready)

    return release


@main.command()
@_data
def down(data: Path) -> None:
    """Stop what `chorus up` started."""
    data = data.resolve()
    state = states.read(data)
    if state is None:
        click.echo("Chorus is not running.")
        return
    if not states.is_held(data):
        ended = end_leftovers(state)
        click.echo(
            f"Chorus had been killed; {ended} processes that it left were ended." if ended else "Chorus is not running."
        )
        return
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT_S
    while states.is_held(data):
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"Process {state.pid} does not stop: see {data / 'logs'}, or kill -9 {state.pid}."
            )
        time.sleep(0.1)
    click.echo("Stopped.")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("role", type=click.Choice(list(PACKAGE_OF)))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(role: str, arguments: tuple[str, ...]) -> None:
    """Run one process with settings from the environment, such as `chorus run api --routes auth,users`."""
    os.execv(sys.executable, [sys.executable, "-m", PACKAGE_OF[role], role, *arguments])


@main.command()
@click.option("--check", is_flag=True, help="Only say whether the database is up to date; exit code 1 where it is not.")
def migrate(check: bool) -> None:
    """Bring the database's schema up to date."""
    from infra import migrations
    from infra.postgres import AWAY

    settings = PostgresSettings.from_env(os.environ)
    try:
        if not check:
            migrations.migrate(settings)
        current, newest = migrations.current(settings), migrations.newest()
    except AWAY as error:
        raise click.ClickException(f"The database does not answer: {error}") from error
    except migrations.NotUnicode as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"The database is at {current or 'nothing'}, this code at {newest}.")
    if current != newest:
        sys.exit(1)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete words.

    In ~/.bashrc or ~/.zshrc: eval "$(chorus completion bash)", or zsh.
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "chorus", "_CHORUS_COMPLETE").source())


if __name__ == "__main__":
    main()
