"""What the machine has found, as it found it, told in the fewest words."""

from collections.abc import Iterator

import pytest

from schemas import ids
from schemas.topics import CONVERSATION_EVENTS
from tests.model.processes import Process, World, simulated
from tests.model.test_heart import CONVERSATIONS, PARTITIONS
from tests.rules.talk import Talk


@pytest.fixture
def world() -> Iterator[World]:
    made = World(PARTITIONS, lambda _call: None)
    with simulated(made.clock):
        yield made


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
