"""A request that nobody can handle ends its run, and says whose it was as far as that can be read."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from schemas import ids
from schemas.events import AgentRef, RunEndedReport
from streams.dead_letters import Record
from streams.rules.replies import Memory
from streams.workers.replies import Replies

AGENT = AgentRef(agent_id=ids.new_id(), version=2, price=7)


class Reports:
    def __init__(self) -> None:
        self.ends: list[RunEndedReport] = []

    async def ended(self, report: RunEndedReport, traceparent: str | None) -> None:
        self.ends.append(report)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        pytest.param({}, True, id="only its context cannot be used"),
        pytest.param({"agent": 7}, False, id="nor can what says who was asked"),
    ],
)
async def test_it_says_who_asked_whom(changes: dict[str, Any], known: bool) -> None:
    """What was held for the run is then given back by its event; without it, by the sweeper."""
    user_id, reports = ids.new_id(), Reports()
    request = {
        "conversation_id": ids.new_id(),
        "run_id": ids.new_id(),
        "user_id": user_id,
        "agent": msgspec.to_builtins(AGENT),
        "context": "none",
    } | changes
    means: Any = SimpleNamespace(reports=reports)
    async with asyncio.TaskGroup() as group:
        anything: Any = None
        replies = Replies(anything, means, {0: Memory()}, group)
        value = msgspec.json.encode(request)
        await replies.dead_letter(
            Record(topic="agent-requests", partition=0, offset=0, key=b"", value=value, headers=[], timestamp_ms=0)
        )

    [end] = reports.ends
    assert (end.run_id, end.status) == (request["run_id"], "failed")
    assert (end.user_id, end.agent) == ((user_id, AGENT) if known else (None, None))
