"""What a conversation does with what it is asked and told."""

import pytest

from schemas import events, ids
from schemas.conversation import RECENT_CAUSES, OutOfOrder, running
from streams.rules.conversation import QUEUE_LIMIT
from streams.rules.state import State, fold
from tests.rules.talk import AGENT, BEN, PROJECT, Talk, a_message, an_id, message_id, run_of, tags


def known(talk: Talk) -> State:
    assert talk.state is not None
    return talk.state


# -- messages and their answers --


def test_a_message_is_posted_and_its_answer_requested_in_one_record() -> None:
    """A question to an idle conversation is posted, its run queued and requested, all at one position."""
    talk = Talk()

    outcome = talk.send("q")

    assert ["message.posted", "run.queued", "run.requested"] == tags(outcome)
    assert (2, run_of("q"), run_of("q"), None) == (
        outcome.record and outcome.record.position,
        outcome.answer,
        outcome.run_id,
        outcome.code,
    )


def test_people_talk_without_an_agent() -> None:
    """A message that no agent answers is posted, and leaves the conversation idle."""
    talk = Talk()

    outcome = talk.send("hi", agent=None)

    assert ["message.posted"] == tags(outcome)
    assert (None, None) == (outcome.run_id, outcome.answer)


def test_an_answer_is_posted_before_its_end_and_the_next_run() -> None:
    """The end of a run posts the answer, ends the run and gives the next one its turn, in this order."""
    talk = Talk()
    talk.send("q1")
    talk.send("q2")
    talk.started(run_of("q1"))

    outcome = talk.ended(run_of("q1"))

    assert ["message.posted", "run.ended", "run.requested"] == tags(outcome)
    assert run_of("q2") == outcome.answer
    assert outcome.record is not None
    answer = outcome.record.facts[0]
    assert isinstance(answer, events.MessagePosted)
    assert (ids.answer_id(run_of("q1")), message_id("q1")) == (answer.message_id, answer.parent_message_id)


def test_a_question_follows_the_question_before_it() -> None:
    """A person's message has the last person's message as its parent, whoever sent it; the first has none."""
    talk = Talk()
    talk.send("q1")
    talk.ended(run_of("q1"))
    talk.send("q2", user=BEN)

    assert (None, message_id("q1")) == (
        known(talk).messages[message_id("q1")].parent_id,
        known(talk).messages[message_id("q2", BEN)].parent_id,
    )


@pytest.mark.parametrize(
    ("status", "last_seq", "facts"),
    [
        pytest.param("completed", 0, ["message.posted", "run.ended"], id="completed and empty"),
        pytest.param("failed", 0, ["run.ended"], id="failed before the first word"),
        pytest.param("cancelled", 0, ["run.ended"], id="cancelled before the first word"),
        pytest.param("failed", 2, ["message.posted", "run.ended"], id="failed after some words"),
    ],
)
def test_an_answer_without_words_is_no_message_unless_it_is_complete(
    status: str, last_seq: int, facts: list[str]
) -> None:
    """What was said before a failure stays as a message; where nothing was said there is none."""
    talk = Talk()
    talk.send("q")
    talk.started(run_of("q"))

    assert facts == tags(talk.ended(run_of("q"), status=status, last_seq=last_seq))


# -- once is enough --


def test_a_message_sent_again_changes_nothing_and_asks_again() -> None:
    """The same message again gives no record, the same reply, and the same request once more."""
    talk = Talk()
    first = talk.send("q")

    again = talk.send("q")

    assert again.record is None
    assert (first.run_id, first.answer, first.code) == (again.run_id, again.answer, again.code)


def test_a_message_whose_answer_has_ended_is_not_answered_again() -> None:
    """Long after its answer, a message sent again has the same reply and no effect."""
    talk = Talk()
    talk.send("q")
    talk.ended(run_of("q"))

    again = talk.send("q")

    assert (None, None, run_of("q")) == (again.record, again.answer, again.run_id)


def test_another_text_under_a_used_id_is_refused_once() -> None:
    """Where nobody waits, the sender's sockets are told once that the first text stands; it stays."""
    talk = Talk()
    talk.send("q")

    first, second = talk.send("q", text="other"), talk.send("q", text="other")

    assert (["message.rejected"], []) == (tags(first), tags(second))
    assert ("idempotency_mismatch", "idempotency_mismatch") == (first.code, second.code)
    assert "q" == known(talk).messages[message_id("q")].digest


def test_who_waits_is_told_of_another_text_without_a_record() -> None:
    """Where the sender's socket waits for the decision, a mismatch is a decision and no fact."""
    talk = Talk()
    talk.send("q")

    outcome = talk.send("q", text="other", ask="api-0")

    assert (None, "idempotency_mismatch") == (outcome.record, outcome.code)


def test_a_late_start_adds_nothing() -> None:
    """A start of an attempt that is known, or older, adds no record."""
    talk = Talk()
    talk.send("q")
    talk.started(run_of("q"), 2)

    assert [[], [], ["run.started"]] == [tags(talk.started(run_of("q"), n)) for n in (1, 2, 3)]


def test_the_end_of_an_old_attempt_is_ignored() -> None:
    """Once a newer attempt has started, the end of an older one says nothing; the first end of the newest counts."""
    talk = Talk()
    talk.send("q")
    talk.started(run_of("q"), 1)
    talk.started(run_of("q"), 2)

    assert [] == tags(talk.ended(run_of("q"), 1))
    assert ["message.posted", "run.ended"] == tags(talk.ended(run_of("q"), 2))
    assert [] == tags(talk.ended(run_of("q"), 2))
    assert [] == tags(talk.started(run_of("q"), 3))


def test_the_end_of_an_old_attempt_asks_for_the_run_again() -> None:
    """Whoever reported it has not heard of the newer attempt, and perhaps nobody works on that; a stop goes with it."""
    talk = Talk()
    talk.send("q")
    talk.started(run_of("q"), 2)
    open_run = talk.ended(run_of("q"), 1)
    talk.cancel(run_of("q"))
    stopping = talk.ended(run_of("q"), 1)

    assert (run_of("q"), None) == (open_run.answer, open_run.stop)
    assert (run_of("q"), run_of("q")) == (stopping.answer, stopping.stop)


def test_an_end_told_again_asks_again_for_the_run_that_followed() -> None:
    """A crash between an end's record and the next run's request is mended when the end comes again."""
    talk = Talk()
    talk.send("q1")
    talk.send("q2")
    talk.ended(run_of("q1"))

    again = talk.ended(run_of("q1"))

    assert (None, run_of("q2")) == (again.record, again.answer)


# -- when an agent is answering --


def test_a_message_waits_for_its_turn() -> None:
    """With `enqueue` a message is posted at once, and its answer waits."""
    talk = Talk()
    talk.send("q1")

    outcome = talk.send("q2")

    assert (["message.posted", "run.queued"], None) == (tags(outcome), outcome.answer)


def test_a_message_that_will_not_wait_is_refused_for_good() -> None:
    """With `reject` a busy conversation refuses; under the same id the message stays refused when it is idle."""
    talk = Talk()
    talk.send("q1")

    refused = talk.send("q2", when_busy="reject", ask="api-0")
    talk.ended(run_of("q1"))
    again = talk.send("q2", when_busy="reject", ask="api-0")

    assert (["message.rejected"], "conversation_busy") == (tags(refused), refused.code)
    assert ([], "conversation_busy") == (tags(again), again.code)
    assert talk.send("q3", when_busy="reject").code is None


def test_an_interrupting_message_cuts_the_answer_and_goes_first() -> None:
    """With `interrupt` the running answer is stopped, its text kept, and the new message is answered first."""
    talk = Talk()
    talk.send("q1")
    talk.send("q2")
    talk.started(run_of("q1"))

    outcome = talk.send("q3", when_busy="interrupt")
    end = talk.ended(run_of("q1"), status="cancelled", last_seq=2)

    assert (["message.posted", "run.cancelling", "run.queued"], run_of("q1")) == (tags(outcome), outcome.stop)
    assert (["message.posted", "run.ended", "run.requested"], run_of("q3")) == (tags(end), end.answer)
    assert [run_of("q3"), run_of("q2")] == list(known(talk).view.runs)


def test_a_rollback_keeps_the_cut_answer_nowhere() -> None:
    """With `rollback` the cut answer becomes no message; the question stays."""
    talk = Talk()
    talk.send("q1")
    talk.started(run_of("q1"))
    talk.send("q2", when_busy="rollback")

    end = talk.ended(run_of("q1"), status="cancelled", last_seq=2)

    assert ["run.ended", "run.requested"] == tags(end)
    assert [message_id("q1"), message_id("q2")] == list(known(talk).messages)


def test_what_was_rolled_back_stays_so() -> None:
    """A rollback of an answer that is being stopped discards it; an interrupt after that does not bring it back."""
    talk = Talk()
    talk.send("q1")
    talk.cancel(run_of("q1"))

    facts = tags(talk.send("q2", when_busy="rollback"))
    later = tags(talk.send("q3", when_busy="interrupt"))

    assert ["message.posted", "run.cancelling", "run.queued"] == facts
    assert ["message.posted", "run.queued"] == later
    assert ["run.ended", "run.requested"] == tags(talk.ended(run_of("q1"), status="cancelled"))


def test_a_stop_is_asked_for_again_with_the_message_that_caused_it() -> None:
    """A crash between an interrupting message's record and its stop request is mended when the message comes again."""
    talk = Talk()
    talk.send("q1")
    talk.send("q2", when_busy="interrupt")

    again = talk.send("q2", when_busy="interrupt")

    assert (None, run_of("q1"), None) == (again.record, again.stop, again.answer)


def test_a_queue_has_an_end() -> None:
    """A conversation that owes more answers than one record can end takes no more questions, but messages."""
    talk = Talk()
    for n in range(QUEUE_LIMIT):
        talk.send(f"q{n}")

    assert "conversation_busy" == talk.send("one more").code
    assert talk.send("to people", agent=None).code is None


# -- cancelling --


def test_a_waiting_answer_is_cancelled_at_once() -> None:
    """The run ends as cancelled without the agent ever being called."""
    talk = Talk()
    talk.send("q1")
    talk.send("q2")

    outcome = talk.cancel(run_of("q2"))

    assert (["run.ended"], "cancelled", None) == (tags(outcome), outcome.status, outcome.stop)


def test_a_running_answer_is_stopped_and_what_was_said_is_kept() -> None:
    """The run is asked to stop; when it ends, whatever it says of itself, it ended as cancelled, with its text."""
    talk = Talk()
    talk.send("q")
    talk.started(run_of("q"))

    outcome = talk.cancel(run_of("q"))
    end = talk.ended(run_of("q"), status="completed")

    assert (["run.cancelling"], "cancelled", run_of("q")) == (tags(outcome), outcome.status, outcome.stop)
    assert ["message.posted", "run.ended"] == tags(end)
    assert "cancelled" == known(talk).ended[run_of("q")]


def test_cancelling_again_answers_the_same() -> None:
    """However often and however late a cancel that was accepted is repeated, it is accepted, and adds nothing."""
    talk = Talk()
    talk.send("q")
    talk.cancel(run_of("q"))

    during = talk.cancel(run_of("q"))
    talk.ended(run_of("q"), status="completed")
    after = talk.cancel(run_of("q"))

    assert ([], "cancelled", run_of("q")) == (tags(during), during.status, during.stop)
    assert ([], "cancelled", None) == (tags(after), after.status, after.stop)


def test_an_ended_answer_cannot_be_cancelled() -> None:
    """A run that ended otherwise before answers `run_ended`."""
    talk = Talk()
    talk.send("q")
    talk.ended(run_of("q"))

    assert ([], "run_ended") == (tags(talk.cancel(run_of("q"))), talk.cancel(run_of("q")).code)


def test_a_cancel_may_come_before_its_question() -> None:
    """The question is posted then, its run is over at once, and the agent is never called."""
    talk = Talk()

    early, again = talk.cancel(run_of("q")), talk.cancel(run_of("q"))
    question = talk.send("q")

    assert (["cancel.remembered"], "cancelled") == (tags(early), early.status)
    assert ([], "cancelled") == (tags(again), again.status)
    assert (["message.posted", "run.queued", "run.ended"], None) == (tags(question), question.answer)
    assert (set(), "cancelled") == (known(talk).cancelled_early, known(talk).ended[run_of("q")])


def test_whoever_starts_a_stopped_run_is_told_again() -> None:
    """A new attempt at a run that is being stopped has not heard of it: the stop is asked for again."""
    talk = Talk()
    talk.send("q")
    talk.cancel(run_of("q"))

    outcome = talk.started(run_of("q"), 2)

    assert (["run.started"], run_of("q")) == (tags(outcome), outcome.stop)


# -- another answer --


def test_an_answer_is_generated_anew_beside_the_old_one() -> None:
    """Naming the question or any of its answers gives a further run for the same question."""
    talk = Talk()
    talk.send("q")
    talk.ended(run_of("q"))
    old = ids.answer_id(run_of("q"))

    outcome = talk.regenerate(old, "again")
    assert outcome.run_id is not None
    talk.ended(outcome.run_id)

    assert ["run.queued", "run.requested"] == tags(outcome)
    assert message_id("q") == known(talk).messages[ids.answer_id(outcome.run_id)].parent_id
    assert ids.answer_id(outcome.run_id) == known(talk).newest_answer[message_id("q")]
    assert ([], None) == (tags(talk.regenerate(old, "again")), talk.regenerate(old, "again").code)


def test_another_answer_asked_for_again_is_requested_again() -> None:
    """A crash between the record and the request of a regenerated answer is mended when the command comes again."""
    talk = Talk()
    talk.send("q")
    talk.ended(run_of("q"))
    first = talk.regenerate(message_id("q"), "again")

    again = talk.regenerate(message_id("q"), "again")

    assert (None, first.answer) == (again.record, again.answer)


def test_only_what_was_said_can_be_answered_anew() -> None:
    """A message that is not here has no answers."""
    assert "not_found" == Talk().regenerate(message_id("elsewhere"), "again").code


# -- the conversation itself --


def test_a_conversation_is_created_once() -> None:
    """Creating it again is accepted from the same person and changes nothing; others are told that the id is used."""
    talk = Talk()

    again, other = talk.create(), talk.create(user_id=BEN)

    assert (1, None, "idempotency_mismatch") == (len(talk.records), again.code, other.code)


def test_an_update_counts_once() -> None:
    """An update that comes again adds no record, even after a later one."""
    talk = Talk()
    one, two = an_id("one"), an_id("two")
    talk.update(title="1.ann.a", cause=one)
    talk.update(title="1.ann.b", cause=two)

    assert [[], []] == [tags(talk.update(title="1.ann.a", cause=one)), tags(talk.update(title="1.ann.b", cause=two))]


def test_many_updates_repeated_end_where_they_ended() -> None:
    """A replay of more updates than are remembered repeats them in order: the last one stands."""
    talk = Talk()
    agents = [an_id(f"agent {n}") for n in range(RECENT_CAUSES + 5)]
    for _ in range(2):
        for agent in agents:
            talk.update(agent_id=agent, cause=an_id(f"set {agent}"))

    assert agents[-1] == known(talk).view.agent_id


def test_an_update_to_what_is_stays_where_it_stood() -> None:
    """Archiving what is archived is a fact too: when it comes again behind a restoring, that stands."""
    talk = Talk()
    again = an_id("again")
    talk.update(archived=True)

    assert ["conversation.updated"] == tags(talk.update(archived=True, cause=again))

    talk.update(archived=False)

    assert [] == tags(talk.update(archived=True, cause=again))
    assert not known(talk).view.archived


def test_an_update_of_what_was_seen() -> None:
    """It is refused where the conversation was updated after that position, by anybody; what was said is no update. The
    same command again is answered as the first time."""
    talk = Talk()
    seen = known(talk).view.position
    talk.send("q1")

    accepted = [talk.update(archived=True, seen=seen, cause=an_id("update")) for _ in range(2)]
    refused = talk.update(archived=False, seen=seen)

    assert [outcome.code for outcome in accepted] == [None, None]
    assert (refused.code, refused.record) == ("precondition_failed", None)
    talk.update(archived=False, seen=known(talk).view.position)
    seen = known(talk).view.position
    for change in (talk.delete, talk.restore):
        change()
    assert talk.update(archived=True, seen=seen).code == "precondition_failed"
    assert talk.update(archived=True, seen=known(talk).view.position).code is None


def test_an_archived_conversation_takes_no_messages() -> None:
    """It refuses them by a fact that their sender sees, stays readable, and can be restored."""
    talk = Talk()
    talk.send("q")
    talk.update(archived=True)

    refused = talk.send("late")

    assert (["message.rejected"], "conversation_archived") == (tags(refused), refused.code)
    assert "conversation_archived" == talk.regenerate(message_id("q"), "again").code
    assert ["message.posted", "run.ended"] == tags(talk.ended(run_of("q")))
    talk.update(archived=False)
    assert talk.send("q2").code is None


def test_deleting_ends_what_is_open() -> None:
    """Waiting runs end cancelled at once; the running one is stopped, and its text is kept nowhere."""
    talk = Talk()
    talk.send("q1")
    talk.send("q2")

    deleted = talk.delete()
    again = talk.delete()
    end = talk.ended(run_of("q1"))

    assert (["run.ended", "run.cancelling", "conversation.deleted"], run_of("q1")) == (tags(deleted), deleted.stop)
    assert (["conversation.deleted"], None, run_of("q1")) == (tags(again), again.code, again.stop)
    assert ["run.ended"] == tags(end)
    assert {run_of("q1"): "cancelled", run_of("q2"): "cancelled"} == known(talk).ended


def test_a_deleted_conversation_is_not_there() -> None:
    """Messages are refused as `not_found`, and so is everything else."""
    talk = Talk()
    talk.delete()

    refused = talk.send("late")

    assert (["message.rejected"], "not_found") == (tags(refused), refused.code)
    assert ["not_found"] * 3 == [
        talk.update(archived=True).code,
        talk.cancel(run_of("late")).code,
        talk.regenerate(message_id("late"), "again").code,
    ]


def test_nothing_happens_where_nothing_was_created() -> None:
    """Whatever is said to a conversation that does not exist leaves no record."""
    talk = Talk(created=False)

    codes = [talk.send("q").code, talk.update(archived=True).code, talk.cancel(run_of("q")).code, talk.delete().code]

    assert (["not_found"] * 4, []) == (codes, talk.records)


# -- who may --


@pytest.mark.parametrize("role", ["owner", "admin", "member"])
def test_members_may_do_everything(role: str) -> None:
    """Owners, admins and members write, cancel, rename and delete."""
    talk = Talk(created=False)

    codes = [
        talk.create(role=role).code,
        talk.send("q", role=role).code,
        talk.cancel(run_of("q"), role=role).code,
        talk.update(archived=False, role=role).code,
        talk.delete(role=role).code,
    ]

    assert [None] * 5 == codes


@pytest.mark.parametrize("role", ["viewer", "a role of tomorrow"])
def test_viewers_only_read(role: str) -> None:
    """Every command of a viewer is refused, and only the refusal of a message is a fact."""
    talk = Talk()
    talk.send("q")
    before = len(talk.records)

    codes = [
        talk.send("v", role=role).code,
        talk.cancel(run_of("q"), role=role).code,
        talk.update(archived=True, role=role).code,
        talk.delete(role=role).code,
        talk.regenerate(message_id("q"), "again", role=role).code,
        Talk(created=False).create(role=role).code,
    ]

    assert (["forbidden"] * 6, 1) == (codes, len(talk.records) - before)


def test_a_role_in_another_project_is_no_role_here() -> None:
    """A command that names another project is refused as if there were nothing here, and leaves no trace."""
    talk = Talk()
    talk.send("q")
    before = len(talk.records)
    other = an_id("other project")

    codes = [
        talk.send("x", project_id=other).code,
        talk.cancel(run_of("q"), project_id=other).code,
        talk.update(archived=True, project_id=other).code,
        talk.delete(project_id=other).code,
        talk.regenerate(message_id("q"), "again", project_id=other).code,
    ]

    assert (["not_found"] * 5, before) == (codes, len(talk.records))
    assert an_id("project") == PROJECT


# -- the fold --


def test_a_hole_is_seen() -> None:
    """A record that does not follow is refused, and the state stays as it was."""
    talk = Talk()
    talk.send("q")
    state = fold(None, talk.records[0])

    with pytest.raises(OutOfOrder):
        fold(None, talk.records[1])
    with pytest.raises(OutOfOrder):
        fold(state, talk.records[0])

    assert fold(state, talk.records[1]) == talk.state


def test_a_way_of_being_busy_that_is_not_known_yet_waits() -> None:
    """A later version's `when_busy` is taken as `enqueue`."""
    talk = Talk()
    talk.send("q1")

    outcome = talk.do(a_message("q2", when_busy="tomorrow", agent=AGENT))

    assert ["message.posted", "run.queued"] == tags(outcome)
    assert (run := running(known(talk).view)) is not None
    assert run.status == "in_progress"
