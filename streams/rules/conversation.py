"""The rule of a conversation: what follows from one command.

Pure: a state, a command and the time go in; at most one record, and what is to be asked of replies, come out. The same
command decided again on what it led to gives no record, but asks again for what is still open, so that a crash between
two outputs mends itself.
"""

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import UNSET, Struct
from msgspec.structs import replace

from schemas import events, ids
from schemas.conversation import DELETED_KEPT_S, ConversationView, RunStatus, RunView, apply, running
from schemas.frames import ErrorCode
from schemas.roles import Action, may, may_end
from schemas.usage import UsageEvent
from streams.rules.state import State
from streams.rules.usage import used, used_again

QUEUE_LIMIT = 500
"""Most open runs of one conversation. The record that ends them all at once must fit the broker."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What follows from one command.

    Attributes:
        record: to be written; None where the command changes nothing.
        answer: the run whose answer is to be requested, perhaps again.
        stop: the run whose stop is to be requested, perhaps again.
        used: what is to be told of what an attempt took, perhaps again.
        code: why the command is refused; None where it is accepted, or was when it came first.
        status, run_id: for whoever waits for the decision.
    """

    record: events.ConversationAdvanced | None = None
    answer: str | None = None
    stop: str | None = None
    used: UsageEvent | None = None
    code: str | None = None
    status: str | None = None
    run_id: str | None = None


Facts: TypeAlias = list[events.AnyFact]
_Decided: TypeAlias = tuple[Facts, Outcome]


def decide(
    state: State | None,
    command: events.ConversationCommand,
    cause: str,
    now: datetime,
    *,
    deleted_kept_s: float = DELETED_KEPT_S,
) -> Outcome:
    """Decide one command, whose id is `cause`.

    Args:
        state: None where nothing was ever written.
        deleted_kept_s: seconds for which what is deleted can be restored.
    """
    facts, outcome = _decided(state, command, cause, now, deleted_kept_s)
    if not facts:
        return outcome
    view = None if state is None else state.view
    record = events.ConversationAdvanced(
        conversation_id=command.conversation_id,
        # Nothing but a creation has facts where there is no view, and that names its project.
        project_id=command.project_id if view is None else view.project_id,  # type: ignore[union-attr]
        position=1 if view is None else view.position + 1,
        cause=cause,
        at=now,
        facts=facts,
    )
    after = apply(view, record)
    if after.runs and running(after) is None:
        turn = next(iter(after.runs))
        record.facts.append(events.RunRequested(run_id=turn))
        outcome = replace(outcome, answer=turn)
    return replace(outcome, record=record)


def _decided(
    state: State | None, command: events.ConversationCommand, cause: str, now: datetime, deleted_kept_s: float
) -> _Decided:
    if isinstance(command, events.CreateConversation):
        return _create(state, command)
    if state is None or (state.view.purged and isinstance(command, events.Command)):
        return _refused(ErrorCode.NOT_FOUND)
    match command:
        case events.RunStartedReport():
            return _started(state.view, command)
        case events.RunEndedReport():
            return _ended(state, command, now)
        case events.CancelRun():
            return _cancel(state, command)
        case events.SendMessage():
            return _send(state, command, now)
        case events.RegenerateAnswer():
            return _regenerate(state, command)
        case events.UpdateConversation():
            return _update(state, command, cause)
        case events.DeleteConversation():
            return _delete(state, command, cause)
        case events.RestoreConversation():
            return _restore(state, command, cause)
        case events.PurgeConversation():
            return _purge(state.view, command, now, deleted_kept_s)


def _refused(code: str) -> _Decided:
    return [], Outcome(code=code)


def _not_for(view: ConversationView, command: events.Command) -> ErrorCode | None:
    """Why this person may not change this conversation."""
    if command.project_id != view.project_id or view.deleted:
        return ErrorCode.NOT_FOUND
    return None if may(command.role, Action.WRITE) else ErrorCode.FORBIDDEN


def _not_ended_by(view: ConversationView, command: events.Command) -> ErrorCode | None:
    """Why this person may not archive, delete or restore this conversation, deleted or not."""
    if command.project_id != view.project_id:
        return ErrorCode.NOT_FOUND
    return None if may_end(command.role, own=view.created_by == command.user_id) else ErrorCode.FORBIDDEN


def _ask_again(view: ConversationView, run_id: str | None = None) -> Outcome:
    """Ask once more for what the running run still needs; for its answer only if it is `run_id`, or none is named."""
    run = running(view)
    if run is None:
        return Outcome()
    if run.status == RunStatus.CANCELLING:
        return Outcome(stop=run.run_id)
    return Outcome(answer=run.run_id) if run_id in (None, run.run_id) else Outcome()


# -- the conversation itself --


def _create(state: State | None, command: events.CreateConversation) -> _Decided:
    if state is None:
        if not may(command.role, Action.WRITE):
            return _refused(ErrorCode.FORBIDDEN)
        created = events.ConversationCreated(user_id=command.user_id, title=command.title, agent_id=command.agent_id)
        return [created], Outcome()
    view = state.view
    if (view.project_id, view.created_by) == (command.project_id, command.user_id) and not view.deleted:
        return [], Outcome()
    return _refused(ErrorCode.IDEMPOTENCY_MISMATCH)


def _update(state: State, command: events.UpdateConversation, cause: str) -> _Decided:
    view = state.view
    if cause in state.causes:
        return [], Outcome()
    code = _not_for(view, command)
    if code is None and command.archived is not UNSET:
        code = _not_ended_by(view, command)
    if code is None and command.seen is not None and state.updated_position > command.seen:
        code = ErrorCode.PRECONDITION_FAILED
    if code is not None:
        return _refused(code)
    # Also where it changes nothing: decided again after one behind it that did, it would undo that.
    update = events.ConversationUpdated(
        user_id=command.user_id, title=command.title, archived=command.archived, agent_id=command.agent_id
    )
    return [update], Outcome()


def _delete(state: State, command: events.DeleteConversation, cause: str) -> _Decided:
    """The running answer is stopped and kept nowhere; it still ends by its own report, with what it took.

    It is written down also where it is deleted already, as every update is.
    """
    view = state.view
    if cause in state.causes:
        return [], _ask_again(view)
    if code := _not_ended_by(view, command):
        return _refused(code)
    facts: Facts = [_never_ran(run.run_id) for run in view.runs.values() if run.status == RunStatus.QUEUED]
    run = running(view)
    if run is not None:
        facts += _cut(run, keep=False)
    facts.append(events.ConversationDeleted(user_id=command.user_id))
    return facts, Outcome(stop=None if run is None else run.run_id)


def _restore(state: State, command: events.RestoreConversation, cause: str) -> _Decided:
    """As long as it is not purged. The answers that the deletion stopped stay stopped."""
    view = state.view
    if cause in state.causes:
        return [], Outcome()
    if code := _not_ended_by(view, command):
        return _refused(code)
    return [events.ConversationRestored(user_id=command.user_id)], Outcome()


def _purge(view: ConversationView, command: events.PurgeConversation, now: datetime, kept_s: float) -> _Decided:
    """Whoever asks has looked at another clock; this one has to agree. A run that has not ended is waited for."""
    if view.purged or view.deleted_at is None or view.deleted_at != command.deleted_at or view.runs:
        return [], Outcome()
    due = now - view.deleted_at >= timedelta(seconds=kept_s)
    return ([events.ConversationPurged()] if due else []), Outcome()


# -- messages --


def _send(state: State, command: events.SendMessage, now: datetime) -> _Decided:
    view = state.view
    run_id = ids.run_id(command.message_id)
    if (known := state.messages.get(command.message_id)) is not None:
        if known.digest != command.digest:
            return _mismatch(state, command)
        owed = run_id in view.runs or run_id in state.ended
        return [], replace(_ask_again(view, run_id), run_id=run_id if owed else None)
    if (code := state.rejected.get(command.message_id)) is not None:
        return _refused(code)
    if command.project_id != view.project_id:
        return _refused(ErrorCode.NOT_FOUND)
    run = running(view)
    if code := _not_for(view, command) or _not_now(view, command) or _not_edited(state, command):
        return [_rejected(command, code)], Outcome(code=code)
    facts: Facts = [_posted(state, command, now)]
    cut = run if command.when_busy in ("interrupt", "rollback") else None
    if cut is not None:
        facts += _cut(cut, keep=command.when_busy == "interrupt")
    if command.agent is not None:
        facts += _owe(state, run_id, command.message_id, command.user_id, command.agent, front=cut is not None)
    return facts, Outcome(stop=None if cut is None else cut.run_id, run_id=None if command.agent is None else run_id)


def _not_now(view: ConversationView, command: events.SendMessage) -> ErrorCode | None:
    """Why this message cannot be taken at the moment, though its sender may write here."""
    if view.archived:
        return ErrorCode.CONVERSATION_ARCHIVED
    busy = command.when_busy == "reject" and running(view) is not None
    full = command.agent is not None and len(view.runs) >= QUEUE_LIMIT
    return ErrorCode.CONVERSATION_BUSY if busy or full else None


def _not_edited(state: State, command: events.SendMessage) -> ErrorCode | None:
    """Why the sender may not say this message differently: only one's own can be."""
    if command.edits is None:
        return None
    edited = state.messages.get(command.edits)
    if edited is None:
        return ErrorCode.NOT_FOUND
    if edited.role != "user":
        return ErrorCode.INVALID
    return None if edited.owner_id == command.user_id else ErrorCode.FORBIDDEN


def _mismatch(state: State, command: events.SendMessage) -> _Decided:
    """Another text came first under this id. Whoever waits is told; else the sender's sockets are, once for the id."""
    code = ErrorCode.IDEMPOTENCY_MISMATCH
    tell = command.ask is None and command.message_id not in state.rejected
    return [_rejected(command, code)] if tell else [], Outcome(code=code)


def _rejected(command: events.SendMessage, code: str) -> events.MessageRejected:
    return events.MessageRejected(
        message_id=command.message_id,
        client_message_id=command.client_message_id,
        user_id=command.user_id,
        code=code,
    )


def _posted(state: State, command: events.SendMessage, now: datetime) -> events.MessagePosted:
    """It follows the newest message of a person; one that says another differently stands beside that."""
    parent_id = state.view.last_question_id if command.edits is None else state.messages[command.edits].parent_id
    return events.MessagePosted(
        message_id=command.message_id,
        role="user",
        owner_id=command.user_id,
        content=command.content,
        created_at=now,
        author_id=command.user_id,
        client_message_id=command.client_message_id,
        digest=command.digest,
        parent_message_id=parent_id,
    )


def _regenerate(state: State, command: events.RegenerateAnswer) -> _Decided:
    view = state.view
    if command.run_id in view.runs or command.run_id in state.ended:
        return [], replace(_ask_again(view, command.run_id), run_id=command.run_id)
    if code := _not_for(view, command):
        return _refused(code)
    if view.archived:
        return _refused(ErrorCode.CONVERSATION_ARCHIVED)
    if len(view.runs) >= QUEUE_LIMIT:
        return _refused(ErrorCode.CONVERSATION_BUSY)
    said = state.messages.get(command.message_id)
    question_id = said.parent_id if said is not None and said.role == "assistant" else command.message_id
    if question_id is None or question_id not in state.messages:
        return _refused(ErrorCode.NOT_FOUND)
    facts = _owe(state, command.run_id, question_id, command.user_id, command.agent, front=False)
    return facts, Outcome(run_id=command.run_id)


# -- runs --


def _owe(state: State, run_id: str, question_id: str, user_id: str, agent: events.AgentRef, *, front: bool) -> Facts:
    """An answer is owed, unless it was cancelled before anybody knew of it: then it is over at once."""
    queued = events.RunQueued(
        run_id=run_id,
        message_id=ids.answer_id(run_id),
        question_id=question_id,
        agent=agent,
        user_id=user_id,
        front=front,
    )
    return [queued, _never_ran(run_id)] if run_id in state.cancelled_early else [queued]


def _never_ran(run_id: str) -> events.RunEnded:
    return events.RunEnded(run_id=run_id, attempt=0, last_seq=0, status=RunStatus.CANCELLED, finish_reason="cancelled")


def _cut(run: RunView, *, keep: bool) -> Facts:
    """Stop the running answer. Once its text is to be discarded, nothing brings it back."""
    keep = keep and run.keep
    if run.status == RunStatus.CANCELLING and keep == run.keep:
        return []
    return [events.RunCancelling(run_id=run.run_id, keep=keep)]


def _cancel(state: State, command: events.CancelRun) -> _Decided:
    view, run_id = state.view, command.run_id
    if command.project_id != view.project_id:
        return _refused(ErrorCode.NOT_FOUND)
    if not may(command.role, Action.WRITE):
        return _refused(ErrorCode.FORBIDDEN)
    accepted = Outcome(status=RunStatus.CANCELLED, run_id=run_id)
    if (ended := state.ended.get(run_id)) is not None:
        return ([], accepted) if ended == RunStatus.CANCELLED else _refused(ErrorCode.RUN_ENDED)
    run = view.runs.get(run_id)
    if run is not None and run.status == RunStatus.QUEUED:
        return [_never_ran(run_id)], accepted
    if run is not None:
        return _cut(run, keep=True), replace(accepted, stop=run_id)
    if view.deleted:
        return _refused(ErrorCode.NOT_FOUND)
    return [] if run_id in state.cancelled_early else [events.CancelRemembered(run_id=run_id)], accepted


def _started(view: ConversationView, report: events.RunStartedReport) -> _Decided:
    run = view.runs.get(report.run_id)
    if run is None or run.status == RunStatus.QUEUED or report.attempt <= run.attempt:
        return [], Outcome()
    # Whoever starts a run that is being stopped has not heard of it.
    stop = run.run_id if run.status == RunStatus.CANCELLING else None
    return [events.RunStarted(run_id=run.run_id, attempt=report.attempt)], Outcome(stop=stop)


def _ended(state: State, report: events.RunEndedReport, now: datetime) -> _Decided:
    """The first end of the highest attempt counts. What was accepted as cancelled ends as cancelled.

    A title that it brings is taken where there is none: whoever names the conversation, before or after, is right.
    """
    view = state.view
    run = view.runs.get(report.run_id)
    if run is None:
        return [], replace(_ask_again(view), used=used_again(state, report))
    cancelled = run.status == RunStatus.CANCELLING
    if run.status == RunStatus.QUEUED:
        return [], Outcome()
    if report.attempt < run.attempt:
        # Perhaps nobody works on the later attempt, and whoever reports this end has not heard that it began.
        other = used(view.project_id, report, None)
        return [], Outcome(answer=run.run_id, stop=run.run_id if cancelled else None, used=other)
    ended = events.RunEnded(
        run_id=run.run_id,
        attempt=report.attempt,
        last_seq=report.last_seq,
        status=RunStatus.CANCELLED if cancelled else report.status,
        finish_reason="cancelled" if cancelled else report.finish_reason,
        usage=report.usage,
        error=None if cancelled else report.error,
    )
    outcome = Outcome(used=used(view.project_id, report, ended.status))
    if not run.keep or (report.last_seq == 0 and ended.status != RunStatus.COMPLETED):
        return [ended], outcome
    answer = events.MessagePosted(
        message_id=run.message_id,
        role="assistant",
        owner_id=run.user_id,
        content=report.content,
        created_at=now,
        agent_id=run.agent.agent_id,
        parent_message_id=run.question_id,
        run_id=run.run_id,
        finish_reason=ended.finish_reason,
        usage=report.usage,
    )
    facts: Facts = [answer, ended]
    if report.title is not None and not state.titled:
        facts.append(events.ConversationUpdated(user_id=run.user_id, title=report.title, automatic=True))
    return facts, outcome
