"""The fault suite: one stack for all scenarios that leave it whole, and one table at the end."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import uvloop
from rich.console import Console
from rich.table import Table

from tests.faults import scenario
from tests.faults.scenario import Fault, Outcome, Settings
from tests.faults.stack import FaultStack, running
from tests.people import http, online, person, ws_url

__all__ = ["http", "online", "person", "ws_url"]

Play = Callable[..., Awaitable[Outcome]]

_SETTINGS = Settings.from_env(os.environ)
_outcomes: list[Outcome] = []
_began = time.monotonic()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The proxies carry every byte in this process: it must not be what is slow."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def settings() -> Settings:
    return _SETTINGS


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def faults(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultStack]:
    """Everything behind proxies, shared by all scenarios: whoever breaks something mends it."""
    async with running(tmp_path_factory.mktemp("faults") / "data") as stack:
        yield stack


@pytest.fixture
def play(faults: FaultStack, settings: Settings) -> Play:
    """Play a scenario on the shared stack; fails with what was found."""

    async def play(name: str, fault: Fault, **options: object) -> Outcome:
        return await played(name, faults, settings, fault, **options)

    return play


async def played(name: str, stack: FaultStack, settings: Settings, fault: Fault, **options: object) -> Outcome:
    """Play a scenario, put it into the table, and fail with what was found."""
    outcome = await scenario.play(name, stack, settings, fault, **options)  # type: ignore[arg-type]
    _outcomes.append(outcome)
    if settings.report:
        scenario.write(_outcomes, settings, time.monotonic() - _began, settings.report)
    assert not outcome.problems, f"{len(outcome.problems)} problems:\n" + "\n".join(outcome.problems[:20])
    assert outcome.met, f"well again after {outcome.recovery_s} s, the line is {outcome.line}"
    return outcome


def pytest_terminal_summary() -> None:
    """One table, whatever failed."""
    if not _outcomes:
        return
    table = Table(*scenario.COLUMNS, box=None)
    for outcome in _outcomes:
        table.add_row(*scenario.row(outcome), style=None if outcome.met else "red")
    console = Console(width=None if os.isatty(1) else 200)
    console.print()
    console.print(table)
    console.print(
        f"seed {_SETTINGS.seed}, {_SETTINGS.rate:.0f} messages/s, faults at {_SETTINGS.scale:g} of their length, "
        f"{(time.monotonic() - _began) / 60:.1f} min"
    )
