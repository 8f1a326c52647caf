"""The books find what they are for: each wrong thing, made up, is called by its name."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from schemas import events, ids
from tests.client import Frame, Screen
from tests.faults.books import Calls, Findings, Log, _Run, compare, read_calls
from tests.faults.load import TOKENS, Records, Sent

TALK, ADA, RUN = ids.new_id(), ids.new_id(), ids.new_id()


@dataclass
class World:
    """One conversation in which Ada said two things and got one answer, everywhere the same."""

    records: Records = field(default_factory=Records)
    log: Log = field(default_factory=Log)
    history: list[Frame] = field(default_factory=list)
    screen: Screen = field(default_factory=lambda: Screen(TALK))
    calls: dict[str, Calls] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, run_id in ((1, RUN), (2, None)):
            sent = Sent(ids.new_id(), run_id, TALK, ADA, number, f"message {number}")
            self.records.acked[sent.message_id] = self.records.by_content[sent.content] = sent
            self._say(sent.message_id, "user", sent.content, None)
        self._say(ids.new_id(), "assistant", "answer", RUN)
        self.log.runs[RUN] = _Run(TALK, attempts=1, ends=["completed"])
        self.calls["message 1"] = Calls(1, Counter(answered=1))

    def _say(self, message_id: str, role: str, content: str, run_id: str | None) -> None:
        self.log.posted[TALK].append(
            events.MessagePosted(
                message_id=message_id,
                role=role,
                owner_id=ADA,
                content="sealed",
                created_at=datetime.now(UTC),
                run_id=run_id,
                usage=events.Usage(output_tokens=TOKENS),
            )
        )
        self.history.append({"id": message_id, "content": content})
        self.screen.messages[message_id] = self.history[-1]

    def compared(self) -> Findings:
        window = SimpleNamespace(number=0, screens={TALK: self.screen}, reset=set())
        load = SimpleNamespace(records=self.records, windows=[window], conversations={TALK: None})
        return compare(load, self.log, {TALK: self.history}, self.calls, agent_may_fail=False)  # type: ignore[arg-type]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """Log, history, screens and calls agree."""
    assert World().compared().all() == []


def _lose_from_all(world: World) -> None:
    lost = world.history.pop(1)
    del world.log.posted[TALK][1], world.screen.messages[lost["id"]]


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        pytest.param(_lose_from_all, "lost", id="acknowledged, and nowhere"),
        pytest.param(lambda w: w.history.pop(), "lost", id="in the log, not in the history"),
        pytest.param(lambda w: w.screen.messages.popitem(), "lost", id="not on the screen"),
        pytest.param(lambda w: w.history[0].update(content="else"), "lost", id="another text"),
        pytest.param(lambda w: w.history.append(w.history[0]), "doubled", id="twice in the history"),
        pytest.param(lambda w: w.log.posted[TALK].append(w.log.posted[TALK][0]), "doubled", id="twice in the log"),
        pytest.param(lambda w: w.log.runs[RUN].ends.append("completed"), "doubled", id="two ends"),
        pytest.param(lambda w: w.records.broken.append("doubled: shown twice"), "doubled", id="shown twice"),
        pytest.param(lambda w: (w.history.reverse(), w.log.posted[TALK].reverse()), "disordered", id="order of sends"),
        pytest.param(lambda w: w.history.reverse(), "disordered", id="another order in the history"),
        pytest.param(lambda w: w.log.holes.append("hole"), "disordered", id="a hole in the log"),
        pytest.param(lambda w: w.log.runs[RUN].ends.clear(), "unfinished", id="a run without an end"),
        pytest.param(lambda w: w.log.runs[RUN].ends.__setitem__(0, "failed"), "unfinished", id="failed for nothing"),
        pytest.param(lambda w: w.log.runs.clear(), "lost", id="a run that nobody knows"),
        pytest.param(lambda w: setattr(w.calls["message 1"], "began", 2), "unexplained", id="called twice"),
    ],
)
def test_what_is_wrong_is_found(harm: Callable[[World], object], kind: str) -> None:
    """Each wrong thing is counted as what it is."""
    world = World()
    harm(world)
    assert getattr(world.compared(), kind) != []


def test_calls_that_broke_are_explained() -> None:
    """A second call in one attempt is right where the agent refused or broke the first."""
    world = World()
    world.calls["message 1"] = Calls(3, Counter(refused=1, broken=1, answered=1))
    assert world.compared().all() == []


def test_calls_are_read_from_what_the_agent_wrote(tmp_path: Path) -> None:
    """A call that began and never ended, because the agent was killed, counts as one that began."""
    file = tmp_path / "calls.jsonl"
    lines = [
        {"call": "a", "asked": "x"},
        {"call": "b", "asked": "x"},
        {"call": "a", "outcome": "answered", "tokens": 3},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_calls(file) == {"x": Calls(2, Counter(answered=1))}
