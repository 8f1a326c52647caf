"""`chorus lag`: how far each reader is behind, whether or not it lives."""

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from infra.operator.health import samples
from schemas.topics import CONVERSATION_EVENTS
from tests.conftest import StartProcess
from tests.operator.conftest import Operator
from tests.running import CHORUS, ROOT
from tests.streams.conftest import MakeTopic


async def test_it_counts_what_a_dead_group_has_not_read(operator: Operator, make_topic: MakeTopic) -> None:
    """Committed, end, lag and the age of the first record that was not read, for each partition and added up; a limit
    that is passed is exit code 1, with a sentence."""
    topic = make_topic(3)
    group = f"{topic}-readers"
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    async with AIOKafkaProducer(bootstrap_servers=operator.stack.kafka) as producer:
        for n in range(5):
            at_ms = int((hour_ago + timedelta(minutes=n)).timestamp() * 1000)
            await producer.send_and_wait(topic, b"x", partition=1, timestamp_ms=at_ms)
        await producer.send_and_wait(topic, b"x", partition=2)
    member = AIOKafkaConsumer(bootstrap_servers=operator.stack.kafka, group_id=group, enable_auto_commit=False)
    async with member as consumer:
        consumer.assign([TopicPartition(topic, 1), TopicPartition(topic, 2)])
        await consumer.commit({TopicPartition(topic, 1): 2, TopicPartition(topic, 2): 1})

    (found,) = (await operator.told("lag", "--group", group))["groups"]
    assert (found["name"], found["topic"], found["state"], found["lag"]) == (group, topic, "empty", 3)
    places = {place["partition"]: place for place in found["places"]}
    assert {p: (place["offset"], place["end"], place["lag"]) for p, place in places.items()} == {
        1: (2, 5, 3),
        2: (1, 1, 0),
    }
    assert 58 * 60 - 5 < found["behind_s"] < 58 * 60 + 60  # the third record's age
    assert places[2]["behind_s"] == 0

    shown = await operator.run("lag", "--group", group, "--partitions")
    assert shown.exit_code == 0
    for said in (group, "nobody reads", "58:", "1: 2 of 5"):
        assert said in shown.stdout

    for limits, code in ((("--max-lag", "3"), 0), (("--max-lag", "2"), 1), (("--max-seconds", "60"), 1)):
        limited = await operator.run("lag", "--group", group, *limits)
        assert limited.exit_code == code, limits
    assert "3 records behind" in (await operator.run("lag", "--group", group, "--max-lag", "2")).stdout


async def test_groups_that_live_and_the_sink_in_postgresql(operator: Operator, start_process: StartProcess) -> None:
    """Who reads, in which state, and beside the group's offsets what PostgreSQL has; without PostgreSQL the rest."""
    await start_process("streams", "history", CHORUS_INSTANCE="history-7")
    async with asyncio.timeout(30):
        while True:
            told = await operator.told("lag")
            mine = [g for g in told["groups"] if g["name"] == "history"]
            if mine and mine[0]["state"] == "stable":
                break
    assert (mine[0]["topic"], mine[0]["members"]) == (CONVERSATION_EVENTS.topic, ["history-7"])
    assert len(mine[0]["places"]) == 12
    assert [(s["name"], s["topic"], len(s["places"])) for s in told["sinks"] if "history" in s["name"]] == [
        ("history in PostgreSQL", CONVERSATION_EVENTS.topic, 12)
    ]
    alone = await operator.run("lag", CHORUS_DATABASE_URL="postgresql://chorus@127.0.0.1:1/chorus")
    assert alone.exit_code == 0
    assert "history-7" in alone.stdout
    assert "PostgreSQL at 127.0.0.1:1" in alone.stderr


def _interruptible() -> None:
    # A shell lets what it starts in the background ignore it, and that is handed down.
    signal.signal(signal.SIGINT, signal.default_int_handler)


async def test_it_looks_again_and_again(operator: Operator) -> None:
    """A line of JSON for each look, until it is interrupted: exit code 130, as any program that was."""
    process = await asyncio.create_subprocess_exec(
        *CHORUS, "lag", "--watch", "--json", cwd=ROOT, env=operator.stack.env, stdout=asyncio.subprocess.PIPE,
        preexec_fn=_interruptible,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        looks = [json.loads(await process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    assert looks[0]["at"] < looks[1]["at"]


async def test_what_cannot_be_found_out_is_said(operator: Operator) -> None:
    """An unknown group, a broker that is away, a setting that is none: a sentence, exit code 2."""
    assert "give a whole number" in await operator.refused("lag", CHORUS_KAFKA_REPLICATION="many")
    assert "no consumer group 'nobody'" in await operator.refused("lag", "--group", "nobody")
    assert "Kafka at 127.0.0.1:1" in await operator.refused("lag", CHORUS_KAFKA="127.0.0.1:1")


def test_metrics_are_read_as_prometheus_writes_them() -> None:
    """Ours, by name and labels."""
    text = '# TYPE chorus_intake_in_flight gauge\nchorus_intake_in_flight{group="g",topic="t"} 3.0\npython_x 1\n'
    assert samples(text) == {"chorus_intake_in_flight": {(("group", "g"), ("topic", "t")): 3.0}}
