"""Starts the parts, keeps them running, and stops them in order."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog

from infra.stack import state as states
from infra.stack.child import Child
from infra.stack.part import Part, StackError, Step, telling_line
from infra.stack.state import PartState, StackState

log = structlog.get_logger(__name__)

START_LIMIT_S = 120.0
"""A part that is not ready by then will not be: some twenty times what the slowest needs on an idle machine."""

SETTLED_S = 30.0
"""A part that ran this long and then died starts its row of restarts anew: at once, then slower and slower."""

_POLL_S = 0.05


def restart_delay(deaths: int) -> float:
    """Seconds to wait before the next start after so many deaths in a row: 0, then 0.5 doubling up to 10."""
    return 0.0 if deaths <= 1 else min(10.0, 0.5 * 2 ** (deaths - 2))


class Supervisor:
    """Runs the parts of one stack.

    Args:
        tiers: the parts, in the reverse order of stopping; those of one tier are stopped side by side.
        steps: what is done once while starting.
        state: shown to others; kept up to date in the data folder.
        report: told of each part and step that got ready, and of the seconds that it took.

    Attributes:
        broken: fails when the supervisor itself does, which is a bug: nothing is kept running any more.
    """

    def __init__(
        self,
        tiers: Sequence[Sequence[Part]],
        steps: Iterable[Step],
        state: StackState,
        data: Path,
        log_dir: Path,
        report: Callable[[Part | Step, float], None],
    ) -> None:
        self._tiers = tiers
        self._parts = [part for tier in tiers for part in tier]
        self._steps = list(steps)
        self._state = state
        self._data = data
        self._log_dir = log_dir
        self._report = report
        self._children: dict[str, Child] = {}
        self._done = {name: asyncio.Event() for name in [p.name for p in self._parts] + [s.name for s in self._steps]}
        self._keepers: list[asyncio.Task[None]] = []
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for part in self._parts:
            state.parts.append(
                PartState(part.role, part.name, part.port, since=time.time(), log=str(part.log(log_dir)))
            )

    async def start(self) -> None:
        """Start everything, side by side as far as needs allow; returns when all of it is ready.

        Raises:
            StackError: something cannot start. What was started still runs: `stop` ends it.
        """
        try:
            async with asyncio.TaskGroup() as starting:
                for part in self._parts:
                    starting.create_task(self._start(part))
                for step in self._steps:
                    starting.create_task(self._perform(step))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        self._state.ready = True
        self._save()

    async def stop(self) -> list[str]:
        """Stop everything, the last tier first; returns the names of those that had to be killed."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        killed = []
        for tier in reversed(self._tiers):
            running = [part for part in tier if part.name in self._children]
            ended = await asyncio.gather(
                *(self._children[p.name].stop(p.stop_signal, p.stop_within_s) for p in running)
            )
            killed += [part.name for part, in_order in zip(running, ended, strict=True) if not in_order]
            for part in running:
                self._change(part, "stopped", pid=None)
        return killed

    async def _start(self, part: Part) -> None:
        for name in part.needs:
            await self._done[name].wait()
        began = time.monotonic()
        async with asyncio.timeout(START_LIMIT_S) as limit:
            try:
                await self._launch(part)
            except TimeoutError:
                if limit.expired():
                    raise StackError(f"{part.title} was not ready within {START_LIMIT_S:.0f} s.") from None
                raise
        keeper = asyncio.create_task(self._keep(part))
        keeper.add_done_callback(self._keeper_ended)
        self._keepers.append(keeper)
        self._report(part, time.monotonic() - began)
        self._done[part.name].set()

    async def _perform(self, step: Step) -> None:
        for name in step.needs:
            await self._done[name].wait()
        began = time.monotonic()
        await asyncio.to_thread(step.act)
        self._report(step, time.monotonic() - began)
        self._done[step.name].set()

    async def _launch(self, part: Part) -> None:
        """Start a part's process and wait until it is ready.

        Raises:
            StackError: it cannot be started, or ended before it was ready.
        """
        self._change(part, "starting")
        try:
            await asyncio.to_thread(part.prepare)
            child = await Child.start(part, self._log_dir)
        except OSError as error:
            raise StackError(f"{part.title} cannot be started: {error}") from error
        self._children[part.name] = child
        self._change(part, "starting", pid=child.pid)
        ended = asyncio.create_task(child.wait())
        try:
            while not await part.ready():
                if (await asyncio.wait([ended], timeout=_POLL_S))[0]:
                    raise StackError(self._why(part, child, ended.result()))
        finally:
            ended.cancel()
        self._change(part, "ready", pid=child.pid)

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and not self.broken.done() and (error := keeper.exception()):
            self.broken.set_exception(error)

    async def _keep(self, part: Part) -> None:
        """Start a part again whenever it ends."""
        deaths = 0
        while True:
            began = time.monotonic()
            status = await self._children[part.name].wait()
            deaths = 1 if time.monotonic() - began > SETTLED_S else deaths + 1
            delay = restart_delay(deaths)
            log.warning("part ended", part=part.name, status=status, deaths=deaths, restart_in_s=delay)
            shown = self._shown(part)
            shown.restarts += 1
            shown.restarted_at = time.time()
            self._change(part, "restarting", pid=None)
            await asyncio.sleep(delay)
            try:
                await self._launch(part)
            except StackError as error:
                log.error("part does not start", part=part.name, reason=str(error))

    def _why(self, part: Part, child: Child, status: int) -> str:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
        said = telling_line(child.tail)
        first = f"{part.title} ended while starting ({how}{': ' + said if said else ''})."
        return " ".join(filter(None, [first, part.advice, f"Its log: {part.log(self._log_dir)}"]))

    def _shown(self, part: Part) -> PartState:
        return next(shown for shown in self._state.parts if shown.name == part.name)

    def _change(self, part: Part, state: str, pid: int | None = None) -> None:
        shown = self._shown(part)
        if shown.state != state:
            shown.since = time.time()
        shown.state, shown.pid, shown.health = state, pid, part.health
        shown.born = states.born(pid) if pid else None
        self._save()

    def _save(self) -> None:
        try:
            states.write(self._data, self._state)
        except OSError as error:  # a full disk must not take down what still runs
            log.error("state not written", error=str(error))


def end_leftovers(state: StackState, within_s: float = 10.0) -> int:
    """End what a stack left behind that was killed itself; returns how many processes that were.

    The kernel has already told them to end when their supervisor died, so most are on their way.
    """
    left = states.leftovers(state)
    count = len(left)
    deadline = time.monotonic() + within_s
    for pid in left:
        _send(pid, signal.SIGTERM)
    while (left := states.leftovers(state)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    for pid in left:
        _send(pid, signal.SIGKILL)
    return count


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
