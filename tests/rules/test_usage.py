"""What is told of what answers took: once for each run, whatever happens to it."""

from typing import Any

from schemas.events import AgentRef, Usage
from schemas.usage import AttemptUsed, RunUsed
from tests.rules.talk import ANN, PROJECT, Talk, an_id, run_of

PRICED = AgentRef(agent_id=an_id("agent"), version=1, price=7)
TOOK = Usage(input_tokens=40, output_tokens=9, source="provider", price_version=7, cost_micros=58)
WHO: dict[str, Any] = {"user_id": ANN, "agent": PRICED, "usage": TOOK}


def asked() -> tuple[Talk, str]:
    talk = Talk()
    talk.send("q")
    talk.started(run_of("q"))
    return talk, run_of("q")


def test_the_accepted_end_says_what_the_run_is_charged() -> None:
    """Who asked whom in which project, how it ended, and what it took."""
    talk, run_id = asked()

    used = talk.ended(run_id, **WHO).used

    assert isinstance(used, RunUsed)
    assert (used.subject, used.user_id, used.agent, used.usage) == (PROJECT, ANN, PRICED, TOOK)
    assert (used.run_id, used.attempt, used.status, used.finish_reason) == (run_id, 1, "completed", "stop")


def test_the_same_end_again_says_the_same() -> None:
    """No record follows from it, and what may not have been told before is told again, to the letter."""
    talk, run_id = asked()
    first = talk.ended(run_id, **WHO)
    talk.send("q2")

    again = talk.ended(run_id, **WHO)

    assert again.record is None
    assert again.used == first.used
    assert again.answer == run_of("q2")


def test_an_attempt_that_came_too_late_is_told_as_one() -> None:
    """Before and after the end that counts, another attempt's is charged to nobody."""
    talk, run_id = asked()
    talk.started(run_id, 2)

    before = talk.ended(run_id, 1, **WHO).used
    talk.ended(run_id, 2, **WHO)
    after = talk.ended(run_id, 1, **WHO).used

    assert isinstance(before, AttemptUsed)
    assert before == after
    assert (before.attempt, before.usage) == (1, TOOK)


def test_an_attempt_that_took_nothing_is_not_told() -> None:
    """Nothing was spent by whoever was stopped before the call."""
    talk, run_id = asked()
    talk.started(run_id, 2)

    assert talk.ended(run_id, 1, user_id=ANN, agent=PRICED).used is None
    assert talk.ended(run_id, 1, **(WHO | {"usage": Usage()})).used is None


def test_a_run_that_took_nothing_is_told() -> None:
    """What was held for it has to be given back; the price stands there though nothing was taken."""
    talk, run_id = asked()

    used = talk.ended(run_id, status="failed", last_seq=0, user_id=ANN, agent=PRICED).used

    assert isinstance(used, RunUsed)
    assert used.usage == Usage(price_version=7)


def test_what_a_person_stopped_is_charged_as_stopped() -> None:
    """The report said completed; the conversation had accepted the cancel, and says so again when it is repeated."""
    talk, run_id = asked()
    talk.cancel(run_id)

    for used in [talk.ended(run_id, **WHO).used for _ in range(2)]:
        assert isinstance(used, RunUsed)
        assert (used.status, used.finish_reason, used.usage) == ("cancelled", "cancelled", TOOK)


def test_what_is_rolled_back_is_charged() -> None:
    """Its text is in no message, and was delivered all the same."""
    talk, run_id = asked()
    talk.send("other", when_busy="rollback")

    used = talk.ended(run_id, status="cancelled", **WHO).used

    assert isinstance(used, RunUsed)
    assert used.usage == TOOK


def test_what_never_began_is_not_told() -> None:
    """A run that was cancelled in the queue took nothing, and nothing was held for it."""
    talk, _ = asked()
    talk.send("waits")

    assert talk.cancel(run_of("waits")).used is None


def test_a_stranger_is_not_charged() -> None:
    """The end of a run that this conversation never had says nothing; nor does one that does not say who asked."""
    talk, run_id = asked()

    assert talk.ended(an_id("nowhere"), **WHO).used is None
    assert talk.ended(run_id, usage=TOOK).used is None
