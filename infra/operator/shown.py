"""How operators' commands speak: one sentence when something cannot be done, tables, JSON, sizes, times, safe text."""

import sys
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

F = TypeVar("F", bound=Callable[..., Any])

WIDTH = 200
"""Characters in a line where no terminal sets a width: nothing is cut off for a program that reads on."""


class CannotBeDone(click.ClickException):
    """What was asked could not be found out or done: exit code 2, apart from 1, which is an answer."""

    exit_code = 2


def data_option(command: F) -> F:
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="CHORUS_DATA",
        default=Path(".chorus"),
        show_default=True,
        help="Folder of the local stack, whose addresses and keys are used where no setting names others.",
    )(command)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="For programs.")(command)


def console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(width=None if stream.isatty() else WIDTH, stderr=stderr, highlight=False)


def table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    """A table without lines; the columns named in `right` hold numbers."""
    made = Table(box=None, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def row(to: Table, *cells: object, style: str | None = None) -> None:
    """Add a row of plain texts: nothing in them is taken for markup, and nothing reaches the terminal raw."""
    to.add_row(*(cell if isinstance(cell, Text) else Text(safe(str(cell))) for cell in cells), style=style)


def print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_json_line(value: object) -> None:
    click.echo(msgspec.json.encode(value).decode())


def note(text: str) -> None:
    """Say something beside the output: on standard error."""
    click.secho(safe(text), err=True, dim=True)


def safe(text: str) -> str:
    """The text on one line, with everything that a terminal would obey instead of show written as an escape."""
    return text if text.isascii() and text.isprintable() else "".join(map(_safe_character, text))


def _safe_character(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character


def readable(value: bytes | None, limit: int | None = None) -> str:
    """Bytes as safe text, what is no UTF-8 as escapes; at most `limit` characters of it."""
    if value is None:
        return "none"
    text = safe(value.decode("utf-8", "backslashreplace"))
    return text if limit is None or len(text) <= limit else f"{text[:limit]}…"


def text_or_base64(value: bytes | None) -> object:
    """Bytes for JSON: text as text, and what is none as `{"base64": …}`, so that nothing is lost."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value or b"").decode()}


def size(count: int) -> str:
    """Bytes for a person: `123 B`, `4.5 kB`, `12 MB`."""
    if count < 1_000:
        return f"{count} B"
    amount, units = count / 1_000, ["TB", "GB", "MB", "kB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1_000
        units.pop()
    return f"{amount:.1f} {units[-1]}" if amount < 9.95 else f"{amount:.0f} {units[-1]}"


def duration(seconds: float) -> str:
    """Seconds for a person: `0.4 s`, `12 s`, `3:05 min`, `2:10:00 h`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}:{rest:02} min"
    return f"{hours}:{minutes:02}:{rest:02} h" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def when(at: datetime | None, *, millis: bool = False) -> str:
    """A moment, in UTC as the logs have it."""
    if at is None:
        return "?"
    text = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{at.microsecond // 1000:03}Z" if millis else f"{text}Z"


def moment(timestamp_ms: int) -> datetime:
    """Kafka's timestamp as a moment."""
    return datetime.fromtimestamp(max(0, timestamp_ms) / 1000, UTC)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 record`, `2 records`, `12,345 records`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
