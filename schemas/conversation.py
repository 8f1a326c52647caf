"""What the facts mean: a conversation as the fold of its records, and nothing else.

Whoever holds a view (the conversations processor, the live projection, a gateway) gets it by applying the same records
in the same order with this function, so all of them agree.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import UNSET, Struct, field
from msgspec.structs import replace

from schemas import events

RECENT_CAUSES = 32
"""How many causes of updates are remembered. A replay of more repeats them all, in order, and ends where it began."""

DELETED_KEPT_S = 30 * 24 * 60 * 60
"""Seconds for which a deleted conversation can be restored, unless a setting says otherwise: 30 days."""

LISTED = (
    events.ConversationCreated,
    events.ConversationUpdated,
    events.ConversationDeleted,
    events.ConversationRestored,
    events.ConversationPurged,
)
"""Facts that change what is seen of a conversation in a list."""


def is_update(record: events.ConversationAdvanced) -> bool:
    """Whether the record's cause must be remembered to be known when it comes again.

    Only what can be done and undone needs it: what the other commands make is known by an id that follows from theirs,
    for ever.
    """
    for fact in record.facts:
        match fact:
            case events.ConversationDeleted() | events.ConversationRestored():
                return True
            case events.ConversationUpdated(automatic=False):
                return True
    return False


class RunStatus(StrEnum):
    """Where a run stands. The first three are open, the rest final."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class RunView(Struct, frozen=True, kw_only=True):
    """An open run. `attempt` is 0 until the agent is called; `keep` is false where its text is to be discarded."""

    run_id: str
    message_id: str
    question_id: str
    user_id: str
    agent: events.AgentRef
    status: str
    requested_at: datetime | None = None
    attempt: int = 0
    keep: bool = True


class ConversationView(Struct, frozen=True, kw_only=True):
    """A conversation at one position.

    Attributes:
        runs: the open runs by id, in the order in which they will run; at most the first is not queued.
        last_question_id: the newest person's message, parent of the next one.
        title_by: whose key seals the title in the log; None where there is none.
        deleted_at: when it was deleted; None where it is not.
        purged: nothing of it is kept but this; it stays deleted for ever.
    """

    conversation_id: str
    project_id: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    position: int
    title: str | None = None
    title_by: str | None = None
    archived: bool = False
    deleted: bool = False
    deleted_at: datetime | None = None
    purged: bool = False
    agent_id: str | None = None
    last_question_id: str | None = None
    runs: dict[str, RunView] = field(default_factory=dict)


class OutOfOrder(ValueError):
    """The record is not the next one of this view: there is a hole before it, or it was applied already."""


def apply(view: ConversationView | None, record: events.ConversationAdvanced) -> ConversationView:
    """The view after `record`. `None` is the view before the first record.

    Whatever is said about a run that is not open changes nothing: every record has a meaning, or a reader would stop
    at it for ever.

    Raises:
        OutOfOrder: `record.position` is not one more than the view's.
    """
    if record.position != (0 if view is None else view.position) + 1:
        raise OutOfOrder(f"position {record.position} does not follow {0 if view is None else view.position}")
    if view is None:
        view = ConversationView(
            conversation_id=record.conversation_id,
            project_id=record.project_id,
            created_by=next((f.user_id for f in record.facts if isinstance(f, events.ConversationCreated)), ""),
            created_at=record.at,
            updated_at=record.at,
            position=0,
        )
    changes: dict[str, object] = {"position": record.position}
    runs = view.runs
    for fact in record.facts:
        match fact:
            case events.ConversationCreated():
                changes |= _titled(fact.title, fact.user_id)
                changes |= {"agent_id": fact.agent_id, "updated_at": record.at}
            case events.ConversationUpdated():
                if fact.title is not UNSET:
                    changes |= _titled(fact.title, fact.user_id)
                for name in ("archived", "agent_id"):
                    if (value := getattr(fact, name)) is not UNSET:
                        changes[name] = value
            case events.ConversationDeleted():
                # Not before anything was said there, whatever the clock said that day: it must not be purged too early.
                changes |= {"deleted": True, "deleted_at": view.deleted_at or max(record.at, view.updated_at)}
            case events.ConversationRestored():
                changes |= {"deleted": False, "deleted_at": None}
            case events.ConversationPurged():
                changes |= {"deleted": True, "purged": True, "last_question_id": None} | _titled(None, None)
            case events.MessagePosted():
                changes["updated_at"] = record.at
                if fact.role == "user":
                    changes["last_question_id"] = fact.message_id
            case _:
                runs = _run_changed(runs, fact, record.at)
    return replace(view, runs=runs, **changes)


def _titled(title: str | None, user_id: str | None) -> dict[str, object]:
    return {"title": title, "title_by": None if title is None else user_id}


def _run_changed(runs: dict[str, RunView], fact: events.AnyFact, at: datetime) -> dict[str, RunView]:
    match fact:
        case events.RunQueued():
            run = RunView(
                run_id=fact.run_id,
                message_id=fact.message_id,
                question_id=fact.question_id,
                user_id=fact.user_id,
                agent=fact.agent,
                status=RunStatus.QUEUED,
            )
            if not fact.front:
                return {**runs, fact.run_id: run}
            running = {k: r for k, r in runs.items() if r.status != RunStatus.QUEUED}
            return {**running, fact.run_id: run, **{k: r for k, r in runs.items() if k not in running}}
        case events.RunRequested():
            return _with(runs, fact.run_id, status=RunStatus.IN_PROGRESS, requested_at=at)
        case events.RunStarted():
            return _with(runs, fact.run_id, attempt=fact.attempt)
        case events.RunCancelling():
            return _with(runs, fact.run_id, status=RunStatus.CANCELLING, keep=fact.keep)
        case events.RunEnded():
            return {k: r for k, r in runs.items() if k != fact.run_id}
        case _:
            return runs


def _with(runs: dict[str, RunView], run_id: str, **changes: object) -> dict[str, RunView]:
    return {**runs, run_id: replace(runs[run_id], **changes)} if run_id in runs else runs


def running(view: ConversationView) -> RunView | None:
    """The run that replies is working on, if any."""
    for run in view.runs.values():
        return run if run.status != RunStatus.QUEUED else None
    return None
