"""What a record says, in a line; and a conversation as it goes on. Pure: no I/O."""

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from schemas import account_events, events
from schemas.conversation import ConversationView, apply


def short_type(name: str) -> str:
    """`chorus.message.send.v1` is `message.send`."""
    return name.removeprefix("chorus.").removesuffix(".v1")


def short_id(thing_id: str | None) -> str:
    """Enough of an id to tell a few apart."""
    return "nobody" if thing_id is None else thing_id[:8]


def said(event: Any) -> str:
    """The short of what an event says; its texts are as they are to be shown."""
    match event:
        case events.ConversationAdvanced():
            return f"{event.position}: {', '.join(' '.join(fact(f)) for f in event.facts) or 'nothing'}"
        case events.SendMessage():
            busy = "" if event.when_busy == "enqueue" else f" ({event.when_busy})"
            says = "says" if event.edits is None else f"says instead of {short_id(event.edits)}"
            return f"{short_id(event.user_id)} {says}{busy} {event.content}"
        case events.RegenerateAnswer():
            return f"{short_id(event.user_id)} wants another answer to {short_id(event.message_id)}"
        case events.CancelRun():
            return f"{short_id(event.user_id)} stops run {short_id(event.run_id)}"
        case events.CreateConversation():
            return f"{short_id(event.user_id)} creates it{_changes(event)}"
        case events.UpdateConversation():
            return f"{short_id(event.user_id)} changes it{_changes(event)}"
        case events.DeleteConversation():
            return f"{short_id(event.user_id)} deletes it"
        case events.RestoreConversation():
            return f"{short_id(event.user_id)} restores it"
        case events.PurgeConversation():
            return f"deleted {event.deleted_at.isoformat(timespec='seconds')}: for good"
        case events.RunStartedReport():
            return f"run {short_id(event.run_id)}, attempt {event.attempt}"
        case events.RunEndedReport():
            text = f", {event.content}" if event.content else ""
            return f"run {short_id(event.run_id)}, attempt {event.attempt}: {_end(event)}{text}"
        case events.AnswerRequested():
            return f"run {short_id(event.run_id)} with {len(event.context)} messages of context"
        case events.CancelRequested():
            return f"run {short_id(event.run_id)}"
        case account_events.ProjectChanged():
            members = ", ".join(f"{short_id(member.user_id)} {member.role}" for member in event.members)
            return f"{event.revision}: {'deleted' if event.deleted_at else members or 'nobody'}"
        case account_events.AgentChanged():
            of = f"{event.kind}, version {event.version}, of project {short_id(event.project_id)}"
            return f"{event.revision}: {'deleted' if event.deleted else of}"
        case _:
            return ""


def fact(it: events.AnyFact) -> tuple[str, str]:
    """The name of a fact, and the short of what it says."""
    if isinstance(it, events.UnknownFact):
        return it.fact, "of a later version"
    return str(it.__struct_config__.tag), _fact(it)


def _fact(it: events.AnyFact) -> str:
    match it:
        case events.ConversationCreated() | events.ConversationUpdated():
            by = (
                "by itself"
                if isinstance(it, events.ConversationUpdated) and it.automatic
                else f"by {short_id(it.user_id)}"
            )
            return f"{by}{_changes(it)}"
        case events.ConversationDeleted() | events.ConversationRestored():
            return f"by {short_id(it.user_id)}"
        case events.MessagePosted():
            who = short_id(it.author_id) if it.role == "user" else f"{it.role} (run {short_id(it.run_id)})"
            return f"{short_id(it.message_id)} {who}: {it.content}"
        case events.MessageRejected():
            return f"{short_id(it.message_id)} of {short_id(it.user_id)}: {it.code}"
        case events.RunQueued():
            front = ", before all that wait" if it.front else ""
            return f"{short_id(it.run_id)} answers {short_id(it.question_id)}{front}"
        case events.RunStarted():
            return f"{short_id(it.run_id)}, attempt {it.attempt}"
        case events.RunCancelling():
            return f"{short_id(it.run_id)}, its text {'stays' if it.keep else 'goes'}"
        case events.RunEnded():
            return f"{short_id(it.run_id)}, attempt {it.attempt}: {_end(it)}"
        case events.RunRequested() | events.CancelRemembered():
            return short_id(it.run_id)
        case _:
            return ""


def _changes(it: Any) -> str:
    told = []
    for name in ("title", "archived", "agent_id"):
        to = getattr(it, name, UNSET)
        if to is not UNSET and to is not None:
            told.append(f"agent {short_id(to)}" if name == "agent_id" else f"{name} {to}")
    return f": {', '.join(told)}" if told else ""


def _end(it: events.RunEnded | events.RunEndedReport) -> str:
    error = f", {it.error.code}: {it.error.message}" if it.error is not None else ""
    return f"{it.status} ({it.finish_reason}) after {it.last_seq} deltas{error}"


class Travel:
    """A conversation on its way through its records."""

    def __init__(self) -> None:
        self.view: ConversationView | None = None

    def add(self, record: events.ConversationAdvanced) -> str | None:
        """Apply the next record; says what is odd about its position, if anything is."""
        reached = 0 if self.view is None else self.view.position
        if record.position <= reached:
            return f"position {record.position} had been there before: this record counts for nobody"
        here = replace(record, position=reached + 1)
        self.view = replace(apply(self.view, here), position=record.position)
        if record.position == reached + 1:
            return None
        return f"positions {reached + 1} to {record.position - 1} are missing before it"

    def state(self) -> Iterator[str]:
        """The conversation as it is now, in words."""
        view = self.view
        if view is None:
            return
        yield f"position {view.position}"
        yield "no title" if view.title is None else f"title {view.title}"
        for name in ("archived", "deleted", "purged"):
            if getattr(view, name):
                yield name
        runs = [f"{short_id(r.run_id)} {r.status}" + (f" {r.attempt}" if r.attempt else "") for r in view.runs.values()]
        yield f"open runs: {', '.join(runs)}" if runs else "no open run"
