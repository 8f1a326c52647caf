"""`chorus status`: what runs on this machine, and what is wrong with it."""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import click
from rich.table import Table

from infra.operator import health
from infra.operator.health import Health
from infra.operator.shown import CannotBeDone, console, counted, data_option, duration, json_option, safe, table
from infra.settings import BadSetting
from infra.stack import state as states

_LOOK_S = 1.0
"""How long all that is asked beyond the supervisor's own knowledge may take, in seconds: somebody waits."""
_ANSWER_S = 0.4
"""How long one answer of a process may take."""
_BEHIND_S = 5.0
"""Seconds behind from which it is said: less comes and goes with every burst."""


@click.command()
@click.option("--quick", is_flag=True, help="Only what the supervisor knows; ask nobody what is wrong.")
@data_option
@json_option
def command(quick: bool, data: Path, as_json: bool) -> None:
    """List each process: what it is, its pid, port and health address, and how it is; and what is wrong.

    Exit code 1 where none runs.
    """
    data = data.resolve()
    state = states.read(data)
    if state is None or not states.is_held(data):
        click.echo(json.dumps({"running": False, "processes": []}, indent=2) if as_json else "Chorus is not running.")
        sys.exit(1)
    wrong = None if quick else asyncio.run(_wrong(data, state))
    if as_json:
        click.echo(json.dumps(_as_json(state) | ({} if wrong is None else {"wrong": wrong}), indent=2))
        return
    console().print(_as_table(state))
    for sentence in wrong or ():
        click.secho(f"! {safe(sentence)}", fg="red")
    if wrong == []:
        click.secho("Nothing is wrong.", fg="green")


async def _wrong(data: Path, state: states.StackState) -> list[str]:
    """What is wrong, a sentence each, as far as it can be had in time."""
    said = [
        f"{part.name} is {part.state}: see {part.log}"
        for part in state.parts
        if part.state != "ready" and (state.ready or part.state == "restarting")
    ]
    ready = {part.name for part in state.parts if part.state == "ready"}
    looking = asyncio.ensure_future(health.look(health.parts(data), _ANSWER_S))
    counting = asyncio.ensure_future(_dead_letters(data))
    await asyncio.wait({looking, counting}, timeout=_LOOK_S)
    if looking.done():
        said += not_well([process for process in looking.result() if process.name in ready])
    if not counting.done():
        counting.cancel()
        said.append("Kafka did not say in time whether there are dead letters")
    elif (count := counting.result()) is None:
        said.append("Kafka does not answer")
    elif count:
        said.append(f"{counted(count, 'dead letter')} in the last day: see `chorus dlq list`")
    return said


def not_well(processes: Iterable[Health]) -> Iterator[str]:
    """What processes say of themselves that is not well."""
    behind: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for process in processes:
        if process.not_ready is not None:
            yield f"{process.name} is not ready: {process.not_ready}"
        for labels, records in process.samples("chorus_intake_lag_records"):
            behind[labels["group"]] = (behind[labels["group"]][0] + records, behind[labels["group"]][1])
        for labels, seconds in process.samples("chorus_intake_lag_seconds"):
            behind[labels["group"]] = (behind[labels["group"]][0], max(behind[labels["group"]][1], seconds))
    for group, (records, seconds) in behind.items():
        if seconds > _BEHIND_S:
            much = counted(int(records), "record")
            yield f"{group} is {much} behind, the oldest for {duration(seconds)}: see `chorus lag`"


async def _dead_letters(data: Path) -> int | None:
    """How many records became dead letters within a day; None where Kafka does not say."""
    from infra.operator import local, reached  # slow to import: not for --quick
    from infra.settings import KafkaSettings
    from schemas.topics import TOPICS

    try:
        kafka = KafkaSettings.from_env(local.environment(data))
        return await reached.since(kafka, [topic.dead_letters for topic in TOPICS], timedelta(days=1))
    except (CannotBeDone, BadSetting):
        return None


def _as_json(state: states.StackState) -> dict[str, object]:
    now = time.time()
    return {
        "running": True,
        "ready": state.ready,
        "pid": state.pid,
        "url": state.url,
        "ws_url": state.ws_url,
        "uptime_s": round(now - state.started, 1),
        "processes": [
            {
                "role": part.role,
                "name": part.name,
                "pid": part.pid,
                "port": part.port or None,
                "health": part.health,
                "state": part.state,
                "uptime_s": round(now - part.since, 1) if part.state == "ready" else 0.0,
                "restarts": part.restarts,
                "restarted_at": part.restarted_at,
                "log": part.log,
            }
            for part in state.parts
        ],
    }


def _as_table(state: states.StackState) -> Table:
    title = f"Chorus at {state.url}, supervised by process {state.pid}"
    shown = table("process", "state", "for", "pid", "port", "health", "restarts", title=title, right=["pid", "port"])
    colours = {"ready": "green", "restarting": "red"}
    for part in state.parts:
        restarts = str(part.restarts)
        if part.restarted_at:
            restarts += f", last {time.strftime('%H:%M:%S', time.localtime(part.restarted_at))}"
        shown.add_row(
            part.name,
            f"[{colours.get(part.state, 'yellow')}]{part.state}[/]",
            duration(time.time() - part.since),
            str(part.pid or ""),
            str(part.port or ""),
            part.health or "",
            restarts,
        )
    return shown
