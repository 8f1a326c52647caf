"""The replies processor on the real parts, asked as the conversations processor asks."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from schemas import ids
from schemas.events import AgentRef, AnswerRequested, ContextMessage, RunEndedReport, RunStartedReport
from schemas.sealing import DataKey
from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS
from tests.conftest import StartProcess
from tests.running import Stack, answers_200
from tests.stack.asking import Asker, asking


@pytest.fixture
async def asker(stack: Stack, scripted_agent: str) -> AsyncIterator[Asker]:
    async with asking(stack, scripted_agent, system_prompt="Be brief.") as someone:
        yield someone


def word() -> str:
    """A word that no other question holds."""
    return f"w{uuid4().hex}"


async def test_answers(asker: Asker, start_process: StartProcess) -> None:
    """One request gives one start and one end, whose text is what was told in deltas."""
    await start_process("streams", "replies")
    request = await asker.asked("/tokens 30 /delay 5 hello")
    end = await asker.end(request)

    assert asker.started(request) == [1]
    assert (end.status, end.finish_reason, end.attempt) == ("completed", "stop", 1)
    assert asker.text(request, end).startswith("hello and so ")
    told = await asker.told(request)
    assert "".join(told) == asker.text(request, end)
    assert len(told) == end.last_seq
    assert end.usage is not None
    assert (end.usage.output_tokens, end.usage.source) == (30, "provider")


async def test_the_agent_is_shown_the_context_without_the_deleted(asker: Asker, start_process: StartProcess) -> None:
    """System prompt and context in order; what the key of a deleted person sealed is left out."""
    await start_process("streams", "replies")
    deleted = DataKey.of(ids.new_id(), b"x" * 32)
    said = [(deleted, "user", "secret"), (asker.key, "user", "one"), (asker.key, "assistant", "two")]
    context = [
        ContextMessage(message_id=(message_id := ids.new_id()), role=role, content=key.seal(message_id, text))
        for key, role, text in [*said, (asker.key, "user", "/context")]
    ]
    request = await asker.asked("", context=context)

    assert asker.text(request, await asker.end(request)) == (
        "system: Be brief.\nuser: one\nassistant: two\nuser: /context\n"
    )


async def test_a_cancel_closes_the_connection_and_keeps_the_text(asker: Asker, start_process: StartProcess) -> None:
    """From the cancel on its topic to the end of the agent's connection are 500 ms; what was told is the answer."""
    await start_process("streams", "replies")
    took = []
    for _ in range(5):
        question = word()
        request = await asker.asked(f"/tokens 3000 /delay 10 {question}")
        await asker.until_told(request, 3)
        cancelled_at = time.monotonic()
        await asker.cancel(request)
        end = await asker.end(request)
        [call] = await asker.calls(question)
        took.append(call["ended_at"] - cancelled_at)

        assert call["outcome"] == "aborted"
        assert (end.status, end.finish_reason) == ("cancelled", "cancelled")
        assert asker.text(request, end) == "".join(await asker.told(request)) != ""
        assert end.last_seq == len(await asker.told(request))
        assert end.usage is not None
        assert end.usage.source == "estimated"

    assert sorted(took)[2] < 0.5  # the median: the machine has other things to do


async def test_a_cancel_is_remembered_for_a_request_to_come(asker: Asker, start_process: StartProcess) -> None:
    """A run that was cancelled first ends without a call, also when the worker has been started anew between."""
    replies = await start_process("streams", "replies")
    now, later = asker.request("/tokens 3"), asker.request("/tokens 3")
    await asker.cancel(now)
    await asker.cancel(later)
    await asker.ask(now)
    end = await asker.end(now)
    await replies.stop()
    await start_process("streams", "replies")
    await asker.ask(later)

    for request, ended in ((now, end), (later, await asker.end(later))):
        assert asker.started(request) == []
        assert (ended.status, ended.attempt, ended.last_seq, ended.content) == ("cancelled", 1, 0, "")


@pytest.mark.slow
async def test_a_killed_worker_is_followed_by_another_attempt(asker: Asker, start_process: StartProcess) -> None:
    """SIGKILL in mid-answer: the run is answered by attempt 2, whole, and ends once."""
    replies = await start_process("streams", "replies")
    request = await asker.asked("/tokens 150 /delay 20")
    await asker.until_told(request, 5)
    replies.kill(signal.SIGKILL)
    await replies.ended()
    await start_process("streams", "replies")
    end = await asker.end(request)

    assert asker.started(request) == [1, 2]
    assert [e.attempt for e in asker.ends(request)] == [2]
    assert len(asker.text(request, end).split()) == 150
    assert "".join(await asker.told(request, 2)) == asker.text(request, end)


async def test_a_flushed_redis_garbles_nothing(asker: Asker, start_process: StartProcess) -> None:
    """Redis loses everything in mid-answer, three times: at the end it holds the whole answer, and nothing else."""
    await start_process("streams", "replies")
    request = await asker.asked("/tokens 150 /delay 15")
    for _ in range(3):
        await asker.until_told(request, 10)
        await asker.redis.flushdb()
    end = await asker.end(request)

    assert len(asker.text(request, end).split()) == 150
    assert "".join(await asker.told(request)) == asker.text(request, end)
    assert len(await asker.told(request)) == end.last_seq


async def test_without_redis_an_answer_ends_all_the_same(asker: Asker, start_process: StartProcess) -> None:
    """Nobody sees it come, but the message is whole."""
    await start_process("streams", "replies", CHORUS_REDIS_URL="redis://127.0.0.1:1/0")
    request = await asker.asked("/tokens 40 /delay 5")
    end = await asker.end(request)

    assert end.status == "completed"
    assert len(asker.text(request, end).split()) == 40


async def test_what_has_ended_is_never_called_again(asker: Asker, start_process: StartProcess) -> None:
    """The same request after its end brings the same report, byte for byte, and no call; after a restart, too."""
    question = word()
    replies = await start_process("streams", "replies")
    request = await asker.asked(f"/tokens 5 {question}")
    await asker.end(request)
    await asker.ask(request)
    await asker.until("the report comes again", lambda: len(asker.ends(request)) == 2)
    await replies.stop()
    await start_process("streams", "replies")
    await asker.ask(request)
    await asker.until("the report comes once more", lambda: len(asker.ends(request)) == 3)

    assert len(await asker.calls(question)) == 1
    assert (
        len({envelope for r, envelope in zip(asker.reports, asker.envelopes, strict=True) if r in asker.ends(request)})
        == 1
    )


async def test_what_ended_long_ago_is_found_in_the_log(asker: Asker, start_process: StartProcess) -> None:
    """A request that is older than what the worker has read makes it read further back before it calls."""
    question, an_hour_ago = word(), datetime.now(UTC) - timedelta(hours=1)
    request = asker.request(f"/tokens 5 {question}", requested_at=an_hour_ago)
    report = RunEndedReport(
        conversation_id=request.conversation_id,
        run_id=request.run_id,
        attempt=1,
        last_seq=1,
        status="completed",
        finish_reason="stop",
        content=asker.key.seal(request.message_id, "said long ago"),
    )
    value, headers = CONVERSATION_COMMANDS.encode(
        report, id=ids.ended_id(request.run_id, 1), source="/tests", time=an_hour_ago
    )
    await asker.publisher.producer.send_and_wait(
        CONVERSATION_COMMANDS.topic,
        value,
        key=request.conversation_id.encode(),
        headers=headers,
        timestamp_ms=int(an_hour_ago.timestamp() * 1000) + 5_000,
    )
    await start_process("streams", "replies")
    await asker.ask(request)
    await asker.until("the old report comes again", lambda: len(asker.ends(request)) == 2)

    assert asker.started(request) == []
    assert await asker.calls(question) == []
    assert asker.text(request, asker.ends(request)[1]) == "said long ago"


async def test_an_agent_that_fails_ends_the_run_with_a_sentence(asker: Asker, start_process: StartProcess) -> None:
    """A code, a sentence without anything the agent wrote, and the words so far."""
    await start_process("streams", "replies")
    broken = await asker.asked("/tokens 9 /fail-after 4")
    refused = await asker.asked("/fail 401")
    end, refusal = await asker.end(broken), await asker.end(refused)

    assert (end.status, end.finish_reason) == ("failed", "error")
    assert end.error is not None
    assert end.error.code == "agent_unavailable"
    assert len(asker.text(broken, end).split()) == 4
    assert "".join(await asker.told(broken)) == asker.text(broken, end)
    assert refusal.error is not None
    assert refusal.error.message == "The agent refused the request. Its owner should check its settings."
    assert (refusal.last_seq, refusal.content) == (0, "")


async def test_an_agent_that_is_not_there_fails(asker: Asker, start_process: StartProcess) -> None:
    """A version that nobody knows ends its run."""
    await start_process("streams", "replies")
    request = await asker.asked("hello", agent=AgentRef(agent_id=ids.new_id(), version=1))
    end = await asker.end(request)

    assert (end.status, asker.started(request)) == ("failed", [])
    assert end.error is not None
    assert end.error.code == "agent_unavailable"


async def test_whoever_was_deleted_gets_no_answer(asker: Asker, start_process: StartProcess) -> None:
    """A destroyed key ends the run before any call."""
    question = word()
    await asker.pool.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", asker.user_id
    )
    await start_process("streams", "replies")
    request = await asker.asked(question)
    end = await asker.end(request)

    assert (end.status, end.content) == ("failed", "")
    assert await asker.calls(question) == []


async def test_a_request_that_cannot_be_read_ends_its_run(asker: Asker, start_process: StartProcess) -> None:
    """A dead letter leaves no conversation busy; what is sealed for another message is one, too."""
    await start_process("streams", "replies")
    moved = await asker.asked(
        "", context=[ContextMessage(message_id=ids.new_id(), role="user", content=asker.key.seal(ids.new_id(), "x"))]
    )
    broken = asker.request("hello")
    _, headers = AGENT_REQUESTS.encode(broken, id=ids.new_id(), source="/tests", time=datetime.now(UTC))
    value = msgspec.json.encode({"conversation_id": broken.conversation_id, "run_id": broken.run_id, "context": 7})
    await asker.publisher.producer.send_and_wait(
        AGENT_REQUESTS.topic, value, key=broken.conversation_id.encode(), headers=headers
    )

    for request in (moved, broken):
        end = await asker.end(request)
        assert (end.status, end.attempt, end.content) == ("failed", 1, "")
        assert end.error is not None
        assert end.error.code == "internal"


async def test_a_stop_lets_answers_finish(asker: Asker, start_process: StartProcess) -> None:
    """SIGTERM in mid-answer: it is finished and reported, and the process ends well."""
    replies = await start_process("streams", "replies")
    request = await asker.asked("/tokens 100 /delay 20")
    await asker.until_told(request, 3)
    status = await replies.stop()
    end = await asker.end(request)

    assert status == 0
    assert (end.status, asker.started(request)) == ("completed", [1])
    assert len(asker.text(request, end).split()) == 100


@pytest.mark.slow
async def test_what_takes_longer_than_a_stop_is_answered_again(asker: Asker, start_process: StartProcess) -> None:
    """After the drain time an answer is left unreported, and its provider freed: the next worker makes attempt 2."""
    question = word()
    replies = await start_process("streams", "replies", CHORUS_REPLIES_DRAIN_S="0.5")
    request = await asker.asked(f"/tokens 200 /delay 20 {question}")
    await asker.until_told(request, 3)
    stopped_at = time.monotonic()
    status = await replies.stop()
    stopped_in = time.monotonic() - stopped_at
    await start_process("streams", "replies")
    end = await asker.end(request)

    assert status == 0
    assert stopped_in < 10
    assert asker.started(request) == [1, 2]
    assert [e.attempt for e in asker.ends(request)] == [2]
    assert end.status == "completed"
    assert [call["outcome"] for call in await asker.calls(question)] == ["aborted", "answered"]


@pytest.mark.slow
async def test_a_second_worker_doubles_and_loses_nothing(asker: Asker, start_process: StartProcess) -> None:
    """A rebalance in the middle of answers: each run has one end that counts, and its text is what was told."""
    await start_process("streams", "replies", CHORUS_INSTANCE="replies-0")
    requests = [await asker.asked("/tokens 1200 /delay 20") for _ in range(24)]
    for request in requests:
        await asker.until_told(request, 3)
    second = await start_process("streams", "replies", CHORUS_INSTANCE="replies-1")
    await asker.until("all end", lambda: all(accepted(asker, request) for request in requests))
    await second.stop()

    attempts = [asker.started(request) for request in requests]
    assert [1] in attempts  # its partition came back, and the request that came again joined the running call
    assert [1, 2] in attempts  # its partition went, and another worker began anew
    for request in requests:
        end = accepted(asker, request)
        assert end is not None
        assert len(asker.text(request, end).split()) == 1200
        assert "".join(await asker.told(request, end.attempt)) == asker.text(request, end)


@pytest.mark.slow
async def test_a_worker_that_wakes_up_late_calls_nothing_again(asker: Asker, start_process: StartProcess) -> None:
    """Stopped with SIGSTOP until another has done its work: what it still held has ended, and is not called again."""
    sleeper = await start_process("streams", "replies", CHORUS_INSTANCE="replies-0")
    question = word()
    running = [await asker.asked("/tokens 600 /delay 20") for _ in range(40)]
    waiting = [
        await asker.asked(f"/tokens 3 {question}", conversation_id=request.conversation_id) for request in running
    ]
    for request in running:
        await asker.until_told(request, 5)
    sleeper.kill(signal.SIGSTOP)
    await start_process("streams", "replies", CHORUS_INSTANCE="replies-1")
    await asker.until("another ends all", lambda: all(accepted(asker, request) for request in running + waiting))
    sleeper.kill(signal.SIGCONT)
    await asker.until("the sleeper takes part again", lambda: answers_200(f"{sleeper.health}/readyz"))

    assert {len(asker.started(request)) for request in waiting} == {1}
    assert len(await asker.calls(question)) == len(waiting)
    for request in running:
        end = accepted(asker, request)
        assert end is not None
        assert (end.attempt, len(asker.text(request, end).split())) == (2, 600)
        assert "".join(await asker.told(request, 2)) == asker.text(request, end)


async def test_a_scripted_agent_needs_no_server(stack: Stack, scripted_agent: str, start_process: StartProcess) -> None:
    """An agent of kind `scripted` answers from inside the process."""
    question = word()
    async with asking(stack, scripted_agent, kind="scripted") as asker:
        await start_process("streams", "replies")
        request = await asker.asked(f"/tokens 4 {question}")
        end = await asker.end(request)

        assert len(asker.text(request, end).split()) == 4
        assert await asker.calls(question) == []


def accepted(asker: Asker, request: AnswerRequested) -> RunEndedReport | None:
    """The end that a conversation takes: the first of the highest attempt begun by then."""
    highest = 0
    for report in asker.reports:
        if report.run_id == request.run_id:
            if isinstance(report, RunEndedReport) and report.attempt >= highest:
                return report
            highest = max(highest, report.attempt)
    return None


@pytest.mark.slow
async def test_a_thousand_calls_at_once(asker: Asker, start_process: StartProcess) -> None:
    """A thousand conversations wait for slow agents in one process; a second question waits for its first answer."""
    await start_process("streams", "replies")
    question = word()
    firsts = [asker.request(f"/first 12000 /tokens 2 {question}") for _ in range(1000)]
    seconds = [asker.request("/tokens 1", conversation_id=first.conversation_id) for first in firsts[:100]]
    await asyncio.gather(*(asker.ask(request) for request in firsts))
    await asyncio.gather(*(asker.ask(request) for request in seconds))
    most = 0
    while not all(asker.ends(request) for request in (firsts[0], firsts[-1], seconds[0], seconds[-1])):
        calls = await asker.calls(question)
        most = max(most, sum(call["outcome"] == "open" for call in calls))
        await asyncio.sleep(0.2)
    ours = {request.run_id for request in firsts + seconds}
    await asker.until("all end", lambda: ours <= {r.run_id for r in asker.reports if isinstance(r, RunEndedReport)})

    assert most == 1000
    assert {asker.ends(request)[0].status for request in firsts + seconds} == {"completed"}
    for first, second in zip(firsts, seconds, strict=False):
        order = [type(r) for r in asker.reports if r.conversation_id == first.conversation_id]
        assert order == [RunStartedReport, RunEndedReport] * 2
        assert asker.started(second) == [1]
