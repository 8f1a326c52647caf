"""Facts against rows: what the log says of a conversation, what the tables say, and where they differ. Pure: no I/O.

Both sides are brought into the same lines, a line for each row. A conversation's lines add up to one number, in any
order, so that a whole partition is compared without keeping it; only where the numbers differ are the lines themselves
kept and looked at.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

from msgspec.structs import replace

from schemas import events
from schemas.conversation import ConversationView, RunStatus, RunView, apply
from schemas.opened import Opened

FIELDS: Mapping[str, tuple[str, ...]] = {
    "conversation": (
        *("project_id", "created_by", "title", "archived", "deleted", "purged", "agent_id", "last_question_id"),
        *("position", "created_at", "updated_at"),
    ),
    "message": (
        *("position", "role", "author_id", "agent_id", "owner_id", "client_message_id", "digest"),
        *("parent_message_id", "run_id", "finish_reason", "usage", "created_at", "deleted", "content"),
    ),
    "run": (
        *("message_id", "question_id", "user_id", "agent", "status", "keep", "attempt", "last_seq", "finish_reason"),
        *("usage", "error", "queued_at", "requested_at", "ended_at", "ended_position"),
    ),
    "rejection": ("client_message_id", "user_id", "code", "position"),
    "remembered cancel": (),
}
"""What is compared of each kind of row, in the order of a line's values."""

Values = tuple[object, ...]
Line = tuple[str, str, Values]
"""Kind, id, values."""

_MASK = 2**128 - 1


def content_hash(text: str) -> str:
    """Stands for a text: it is compared, and never shown."""
    return blake2b(text.encode(), digest_size=12).hexdigest()


class Tally:
    """The lines of one conversation, added up.

    Args:
        keep: also keep the lines, in `lines`.
    """

    __slots__ = ("kinds", "lines", "sum")

    def __init__(self, *, keep: bool = False) -> None:
        self.sum = 0
        self.kinds: Counter[str] = Counter()
        self.lines: dict[tuple[str, str], Values] | None = {} if keep else None

    def add(self, kind: str, thing_id: str, values: Values) -> None:
        line = repr((kind, thing_id, values)).encode()
        self.sum = (self.sum + int.from_bytes(blake2b(line, digest_size=16).digest(), "big")) & _MASK
        self.kinds[kind] += 1
        if self.lines is not None:
            while (kind, thing_id) in self.lines:
                thing_id += ", again"
            self.lines[kind, thing_id] = values


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it should be. `kind` is a closed word, `what` a sentence about one thing."""

    kind: str
    conversation_id: str | None
    what: str


class Told:
    """A conversation as the log tells it, record by record."""

    __slots__ = ("_queued_at", "repeated", "tally", "view")

    def __init__(self, *, keep: bool = False) -> None:
        self.tally = Tally(keep=keep)
        self.view: ConversationView | None = None
        self.repeated = 0
        """Records of a position that had been there before: they count for nobody."""
        self._queued_at: dict[str, datetime] = {}

    def add(self, opened: Opened) -> Difference | None:
        """Apply the next record; says what is wrong with its place in the conversation, if anything is."""
        record = opened.record
        reached = 0 if self.view is None else self.view.position
        if record.position <= reached:
            self.repeated += 1
            return None
        wrong = None
        if self.view is None and not any(isinstance(f, events.ConversationCreated) for f in record.facts):
            return Difference(
                "hole",
                record.conversation_id,
                f"begins in the log at position {record.position}, without being created",
            )
        if record.position > reached + 1:
            missing = (
                f"position {reached + 1} is"
                if record.position == reached + 2
                else (f"positions {reached + 1} to {record.position - 1} are")
            )
            wrong = Difference("hole", record.conversation_id, f"{missing} missing in the log")
        here = replace(record, position=reached + 1)
        for n, fact in enumerate(record.facts):
            self._note(here, opened, n, fact)
        self.view = replace(apply(self.view, here), position=record.position)
        return wrong

    def _note(self, here: events.ConversationAdvanced, opened: Opened, n: int, fact: events.AnyFact) -> None:
        position = opened.record.position
        match fact:
            case events.MessagePosted():
                deleted = fact.message_id in opened.gone
                self.tally.add("message", fact.message_id, _message(fact, position, deleted))
            case events.MessageRejected():
                values = (fact.client_message_id, fact.user_id, fact.code, position)
                self.tally.add("rejection", fact.message_id, values)
            case events.CancelRemembered():
                self.tally.add("remembered cancel", fact.run_id, ())
            case events.ConversationPurged():
                self.tally = Tally(keep=self.tally.lines is not None)
                self._queued_at = {}
            case events.RunQueued():
                self._queued_at[fact.run_id] = here.at
            case events.RunEnded():
                run = apply(self.view, replace(here, facts=here.facts[:n])).runs.get(fact.run_id)
                if run is not None:
                    ended = (fact.last_seq, fact.finish_reason, fact.usage, fact.error)
                    self._run(replace(run, status=fact.status, attempt=fact.attempt), ended, here.at, position)
            case _:
                pass

    def _run(self, run: RunView, ended: Values, at: datetime | None, position: int | None) -> None:
        last_seq, finish_reason, usage, error = ended
        queued_at = self._queued_at.pop(run.run_id, None)
        self.tally.add(
            "run",
            run.run_id,
            (
                *(run.message_id, run.question_id, run.user_id, run.agent, str(run.status), run.keep, run.attempt),
                *(last_seq, finish_reason, usage, error),
                *(_utc(queued_at), _utc(run.requested_at), _utc(at), position),
            ),
        )

    def finish(self) -> None:
        """The log is read: add what is still open, and the conversation itself."""
        view = self.view
        if view is None:
            return
        for run in view.runs.values():
            self._run(run, (0, None, None, None), None, None)
        self.tally.add(
            "conversation",
            view.conversation_id,
            (
                *(view.project_id, view.created_by, view.title, view.archived, view.deleted, view.purged),
                *(view.agent_id, view.last_question_id, view.position, _utc(view.created_at), _utc(view.updated_at)),
            ),
        )

    def overdue(self, before: datetime) -> Iterator[Difference]:
        """The runs that were requested before this time and have not ended."""
        if self.view is None:
            return
        for run in self.view.runs.values():
            if run.status != RunStatus.QUEUED and run.requested_at is not None and run.requested_at < before:
                at = run.requested_at.astimezone(UTC).isoformat(timespec="seconds")
                yield Difference(
                    "overdue", self.view.conversation_id, f"run {run.run_id}, requested {at}, has not ended"
                )


def _message(fact: events.MessagePosted, position: int, deleted: bool) -> Values:
    return (
        *(position, fact.role, fact.author_id, fact.agent_id, fact.owner_id, fact.client_message_id, fact.digest),
        *(fact.parent_message_id, fact.run_id, fact.finish_reason, fact.usage, _utc(fact.created_at)),
        *(deleted, content_hash("" if deleted else fact.content)),
    )


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


def differences(
    conversation_id: str, told: Mapping[tuple[str, str], Values], stored: Mapping[tuple[str, str], Values]
) -> Iterator[Difference]:
    """Where the lines of one conversation differ."""
    for kind, thing_id in sorted(told.keys() | stored.keys()):
        expected, actual = told.get((kind, thing_id)), stored.get((kind, thing_id))
        name = kind if thing_id == conversation_id else f"{kind} {thing_id}"
        if actual is None:
            yield Difference("missing", conversation_id, f"{name} is in the log and not in the tables")
        elif expected is None:
            yield Difference("extra", conversation_id, f"{name} is in the tables and not in the log")
        elif expected != actual:
            fields = zip(FIELDS[kind], expected, actual, strict=True)
            parts = [_field(field, log, row) for field, log, row in fields if log != row]
            yield Difference("different", conversation_id, f"{name}: {'; '.join(parts)}")


def _field(field: str, log: object, row: object) -> str:
    if field in ("content", "title"):
        return f"{field} differs"  # what people wrote is not for a terminal
    return f"{field} is {_plain(log)} in the log and {_plain(row)} in the tables"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
