"""The conversations processor tells what runs took, on the real parts."""

import asyncio
import signal
import time
from typing import Any

from aiokafka.structs import ConsumerRecord

from infra.kafka import end_offsets, first_offsets, partition_of, read_partition
from infra.settings import KafkaSettings
from schemas import ids
from schemas.contract import Envelope
from schemas.events import AgentRef, Usage
from schemas.topics import CONVERSATION_PARTITIONS, USAGE
from schemas.usage import AttemptUsed, RunUsed, UsageEvent
from tests.conftest import StartProcess
from tests.running import DEADLINE_S, Stack
from tests.stack.conversing import Someone, conversing

TOOK = Usage(input_tokens=40, output_tokens=9, source="provider", price_version=7, cost_micros=58)


async def told(stack: Stack, someone: Someone) -> list[tuple[UsageEvent, Envelope]]:
    """What stands on the topic of this project, in order."""
    kafka = KafkaSettings.from_env(stack.env)
    partition = partition_of(someone.project_id, CONVERSATION_PARTITIONS)
    [first] = (await first_offsets(kafka, USAGE.topic, {partition})).values()
    [end] = (await end_offsets(kafka, USAGE.topic, {partition})).values()
    records: list[ConsumerRecord[bytes, bytes]] = [
        r async for r in read_partition(kafka, USAGE.topic, partition, first, end)
    ]
    return [USAGE.decode(r.value, r.headers) for r in records if r.key == someone.project_id.encode()]


async def until_told(stack: Stack, someone: Someone, times: int) -> list[tuple[UsageEvent, Envelope]]:
    deadline = time.monotonic() + DEADLINE_S
    while len(events := await told(stack, someone)) < times:
        assert time.monotonic() < deadline, f"{len(events)} events, waiting for {times}"
        await asyncio.sleep(0.1)
    return events


async def test_a_run_is_told_of_once_and_its_other_attempt_beside_it(stack: Stack, start_process: StartProcess) -> None:
    """By the id of the run, with the project as its subject and the report's time; again after SIGKILL, the same."""
    async with conversing(stack) as someone:
        worker = await start_process("streams", "conversations")
        who: dict[str, Any] = {"user_id": someone.key.owner_id, "agent": AgentRef(agent_id=ids.new_id(), version=1)}
        here = await someone.create()
        run_id = await someone.send(here, "a question")
        await someone.requested(here, run_id)
        await someone.started(here, run_id)
        await someone.started(here, run_id, 2)
        await someone.ended(here, run_id, 1, usage=TOOK, **who)
        await someone.ended(here, run_id, 2, usage=TOOK, **who)

        first = await until_told(stack, someone, 2)
        worker.kill(signal.SIGKILL)
        await start_process("streams", "conversations")
        await someone.ended(here, run_id, 2, usage=TOOK, **who)
        again = (await until_told(stack, someone, 3))[-1]

    (attempt, of_attempt), (run, of_run) = first
    assert isinstance(attempt, AttemptUsed)
    assert isinstance(run, RunUsed)
    assert (of_attempt.id, of_run.id) == (ids.attempt_used_id(run_id, 1), ids.run_used_id(run_id))
    assert (run.attempt, run.usage, of_run.subject) == (2, TOOK, someone.project_id)
    assert (again[0], again[1].id) == (run, of_run.id)
