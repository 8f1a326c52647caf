"""What the machine has found, as it found it, told in the fewest words."""

from collections.abc import Iterator

import pytest

from schemas import ids
from schemas.topics import CONVERSATION_EVENTS
from tests.model.processes import Process, World, simulated
from tests.model.test_heart import CONVERSATIONS, EXPIRES_S, PARTITIONS, PEOPLE, REVOKED_S, Heart
from tests.rules.talk import Talk

HERE, ANN = CONVERSATIONS[0], PEOPLE[0]
ELDER, YOUNGER = ("replies", 0), ("replies", 1)


@pytest.fixture
def world() -> Iterator[World]:
    made = World(PARTITIONS, lambda _call: None)
    with simulated(made.clock):
        yield made


@pytest.fixture
def heart(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heart]:
    """Whatever is begun in it must come to its end, and keep every promise."""
    monkeypatch.setattr("tests.model.test_heart.event", lambda _what: None)
    machine = Heart()
    try:
        machine.begin()
        yield machine
    finally:
        machine.teardown()


def _ann_asks(heart: Heart) -> None:
    heart.send(
        HERE, ANN, "member", "a", None, "enqueue", asked=True, other=False, edits=None, in_mid_answer=False, then=0
    )


def _is_replaced(heart: Heart) -> None:
    """The elder stands still, and all that it held is the younger's."""
    heart.stand_still(ELDER)
    heart.is_missed(ELDER)
    heart.hear(YOUNGER)
    heart.all_that_can_be_done_is_done()


def test_an_attempt_that_its_owner_has_not_heard_of(heart: Heart) -> None:
    """Who was replaced unawares begins a run once more, so the end that its owner reports does not count."""
    _is_replaced(heart)
    _ann_asks(heart)
    heart.all_that_can_be_done_is_done()
    heart.wake(ELDER)
    heart.all_that_can_be_done_is_done()
    owners, _another = heart.calls
    heart._say(owners, "stop")
    heart.processes[ELDER].kill()


@pytest.mark.parametrize("turns", range(4, 20, 2))
def test_reports_that_were_being_read_as_time_stood_still(heart: Heart, turns: int) -> None:
    """What was read of the log before says nothing: the run may have ended since."""
    heart.stand_still(ELDER)
    heart.time_passes(4.0)
    _ann_asks(heart)
    heart._stir(60)
    heart.wake(ELDER)
    heart.go_on(ELDER, turns, network_first=False, overtaking=False)
    _is_replaced(heart)
    heart._all_say("stop")
    heart.all_that_can_be_done_is_done()
    heart.time_passes(REVOKED_S)
    heart.time_passes(EXPIRES_S)
    heart.wake(ELDER)


def test_a_rebalance_while_partitions_are_being_prepared(world: World) -> None:
    """What comes waits for what came last to be prepared, though what was held before is prepared meanwhile."""
    talk = Talk()
    for n in range(9):
        talk.update(archived=n % 2 == 0)
    for record in talk.records:
        value, headers = CONVERSATION_EVENTS.encode(
            record, id=ids.fact_id(record.conversation_id, record.cause), source="/test", time=record.at
        )
        world.broker.append(CONVERSATION_EVENTS.topic, CONVERSATIONS[0].encode(), value, headers)
    group = world.broker.groups["history"]
    sink = Process(world, "history")
    while sink.loop.app is None or sink.loop.app.generation == 0:
        sink.turn()

    group.rebalance()
    sink.hear_news()
    for _ in range(20):
        while sink.turn():
            pass
        sink.loop.app.commit_soon()
        world.clock.now += 0.1
    committed = dict(group.committed)
    sink.kill()

    assert {p: world.broker.end(group.topic, p) for p in group.partitions} == dict.fromkeys(PARTITIONS, 0) | committed
