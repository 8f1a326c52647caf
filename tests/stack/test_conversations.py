"""The conversations processor on the real parts: what it does, and what is left when it dies doing it."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.kafka import partition_of
from schemas import events, ids
from schemas.topics import CONVERSATION_COMMANDS, CONVERSATION_PARTITIONS
from streams.workers.facts import EXIT_STATUS
from tests.conftest import StartProcess
from tests.running import Stack, soon
from tests.stack.conversing import Someone, conversing
from tests.stack.dying import STEPS


@pytest_asyncio.fixture
async def someone(stack: Stack) -> AsyncIterator[Someone]:
    async with conversing(stack) as someone:
        yield someone


def nobody_at(stack: Stack) -> str:
    """The URL of a Redis that is not there."""
    return stack.redis_url.replace(stack.redis_url.split(":")[-1], "1/0")


def state_of(pid: int) -> str:
    """A process' state as the kernel calls it; `T` is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_question_is_answered(someone: Someone, start_process: StartProcess) -> None:
    """From a command to its record, its request and its decision; from a report to the answer's message."""
    await start_process("streams", "conversations")
    here = await someone.create()
    run_id = await someone.send(here, "hello")
    await someone.requested(here, run_id)
    await someone.started(here, run_id)
    await someone.ended(here, run_id)
    await someone.told(here, 4)

    assert [
        ["conversation.created"],
        ["message.posted", "run.queued", "run.requested"],
        ["run.started"],
        ["message.posted", "run.ended"],
    ] == someone.tags(here)
    request = someone.requests[here][0]
    assert isinstance(request, events.AnswerRequested)
    question = request.context[-1]
    assert "hello" == someone.key.unseal(question.message_id, question.content)
    assert request.requested_at == someone.story(here)[1].at
    someone.holds(here)


async def test_a_decision_is_told_and_told_again(someone: Someone, start_process: StartProcess) -> None:
    """Whoever waits hears the outcome, and hears the same when the same command is sent again."""
    await start_process("streams", "conversations")
    here = await someone.create()
    await someone.send(here, "first")
    refused = someone.message(here, "second", when_busy="reject")

    cause = await someone.put(refused)
    first = await someone.decided(cause)
    await someone.put(refused, cause)
    await someone.until("it is told again", lambda: len(someone.decisions[cause]) == 2)

    assert ("conversation_busy", 3) == (first.code, first.position)
    assert first == someone.decisions[cause][1]
    assert 3 == len(someone.story(here))


async def test_what_no_writer_of_ours_would_send_is_put_aside(someone: Someone, start_process: StartProcess) -> None:
    """A command in another partition than its key's, or without a usable id, changes nothing and stops nobody."""
    await start_process("streams", "conversations")
    here = await someone.create()
    await someone.told(here, 1)
    command = someone.message(here, "astray")
    value, headers = CONVERSATION_COMMANDS.encode(
        command, id=ids.new_id(), source="/test", time=someone.story(here)[0].at
    )
    other = (partition_of(here, CONVERSATION_PARTITIONS) + 1) % CONVERSATION_PARTITIONS
    await someone.publisher.producer.send_and_wait(
        CONVERSATION_COMMANDS.topic, value, key=here.encode(), headers=headers, partition=other
    )
    await someone.put(command, "no uuid")
    await someone.put(command)
    await someone.told(here, 2)

    assert [1, 2] == [record.position for record in someone.written[here]]


@pytest.mark.parametrize(
    "step", [step if step in ("fact", "request") else pytest.param(step, marks=pytest.mark.slow) for step in STEPS]
)
async def test_it_may_die_between_any_two_of_its_outputs(
    step: str, someone: Someone, start_process: StartProcess, stack: Stack
) -> None:
    """Killed after any output of a command that leads to a record, a request, a stop and a decision, it makes up for
    the rest when it is back: nothing is lost, nothing doubled, and no conversation stays busy."""
    fatal = ids.new_id()
    dying = stack.start(
        "tests.stack.dying", "conversations", DIE_ON=fatal, DIE_AFTER=step, DIE_BY=str(int(signal.SIGKILL))
    )
    here = await someone.create()
    one = await someone.send(here, "one")
    await someone.requested(here, one)
    if step == "request":  # an end leads to the next run's request, an interruption to a stop and a decision
        two = await someone.send(here, "two")
        await someone.put(someone.end(here, one), fatal)
    else:
        await someone.put(someone.message(here, "two", when_busy="interrupt"), fatal)
        two = ids.run_id(someone.message(here, "two").message_id)
    assert -signal.SIGKILL == await dying.ended()
    await someone.send(here, "three", agent=None)
    await start_process("streams", "conversations")

    if step != "request":
        await someone.until("the stop is requested", lambda: one in someone.stops_requested(here))
        await someone.decided(fatal)
        await someone.ended(here, one, status="cancelled")
    await someone.requested(here, two)
    await someone.ended(here, two)
    last = await someone.update(here, agent_id=None)
    await someone.update(here, archived=True)
    await someone.until("all is decided", lambda: someone.tags(here)[-1:] == [["conversation.updated"]])

    someone.holds(here)
    state = someone.state(here)
    assert state is not None
    assert {} == state.view.runs
    assert {"user": 3, "assistant": 2} == {
        role: [said.role for said in state.messages.values()].count(role) for role in ("user", "assistant")
    }
    assert len(someone.story(here)) == len(someone.written[here]), "nothing was written twice"
    assert None is (await someone.decided(last)).code


@pytest.mark.slow
async def test_a_second_writer_leaves_and_one_story_is_told(
    someone: Someone, start_process: StartProcess, stack: Stack
) -> None:
    """A worker that slept while another took over writes at most one record that counts for nobody, and is gone."""
    fatal = ids.new_id()
    sleeper = stack.start(
        "tests.stack.dying", "conversations", DIE_ON=fatal, DIE_AFTER="nothing", DIE_BY=str(int(signal.SIGSTOP))
    )
    here = await someone.create()
    one = await someone.send(here, "one")
    await someone.requested(here, one)
    await someone.put(someone.message(here, "two"), fatal)
    await soon("the sleeper sleeps", lambda: state_of(sleeper.pid) == "T")
    other = await start_process("streams", "conversations", CHORUS_INSTANCE="conversations-1")
    await someone.until("the other has taken over", lambda: len(someone.story(here)) == 3)
    await someone.send(here, "three")
    await someone.told(here, 4)

    sleeper.kill(signal.SIGCONT)
    assert EXIT_STATUS == await sleeper.ended()
    await someone.until("the sleeper has written", lambda: len(someone.written[here]) == 5)
    # The owner, too, finds its partition longer than it knew, and leaves: it decides anew when it is back.
    await someone.send(here, "four")
    assert EXIT_STATUS == await other.ended()
    await start_process("streams", "conversations", CHORUS_INSTANCE="conversations-1")
    await someone.told(here, 5)
    await someone.ended(here, one)
    await someone.requested(here, ids.run_id(someone.message(here, "two").message_id))

    someone.holds(here)
    assert [fatal] == [r.cause for r in someone.written[here][4:5]], "the sleeper's record came last and counts nowhere"
    posted = [
        f.digest for r in someone.story(here) for f in r.facts if isinstance(f, events.MessagePosted) and f.digest
    ]
    assert [someone.key.digest(text) for text in ("one", "two", "three", "four")] == posted


async def test_redis_may_lose_everything(someone: Someone, start_process: StartProcess) -> None:
    """Emptied in the middle of an answer, Redis takes nothing along that was acknowledged."""
    await start_process("streams", "conversations")
    here = await someone.create()
    one = await someone.send(here, "one")
    two = await someone.send(here, "two")
    await someone.started(here, one)
    await someone.redis.flushall()
    await someone.ended(here, one)
    await someone.requested(here, two)
    await someone.redis.flushall()
    await someone.ended(here, two)
    again = await someone.put(someone.message(here, "one"))

    assert None is (await someone.decided(again)).code
    assert 6 == len(await someone.told(here, 6)) == len(someone.written[here])
    someone.holds(here)


async def test_redis_may_be_away(someone: Someone, stack: Stack, start_process: StartProcess) -> None:
    """Without Redis nobody hears of a decision; everything else goes on."""
    await start_process("streams", "conversations", CHORUS_REDIS_URL=nobody_at(stack))
    here = await someone.create()
    run_id = await someone.send(here, "hello")
    await someone.requested(here, run_id)
    await someone.ended(here, run_id)
    await someone.told(here, 3)

    assert {} == someone.decisions
    someone.holds(here)


@pytest.mark.slow
async def test_an_overdue_run_is_requested_again(someone: Someone, start_process: StartProcess) -> None:
    """A run that is open for too long is requested again, the same request; also by a worker that finds it so."""
    first = await start_process("streams", "conversations", CHORUS_RUN_LIMIT_S="1")
    here = await someone.create()
    run_id = await someone.send(here, "hello")
    await someone.requested(here, run_id, times=2)
    first.kill(signal.SIGKILL)
    await first.ended()
    before = len(someone.runs_requested(here))
    await start_process("streams", "conversations", CHORUS_RUN_LIMIT_S="1")
    await start_process("streams", "history")  # whose rows tell of it: nothing else does, of a conversation not in use
    await someone.requested(here, run_id, times=before + 1)
    await someone.cancel(here, run_id)
    await someone.until("the stop is requested again", lambda: someone.stops_requested(here).count(run_id) >= 2)

    requests = [r for r in someone.requests[here] if isinstance(r, events.AnswerRequested)]
    assert 1 == len({(r.run_id, r.requested_at, tuple(m.message_id for m in r.context)) for r in requests})
    assert 3 == len(await someone.told(here, 3))
