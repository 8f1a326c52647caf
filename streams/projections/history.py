"""History as rows: what a record's facts change in PostgreSQL, as a fold over the rows that they touch.

The rows of a batch are loaded, the records are folded over them here, and the rows are written back: applying a record
twice changes nothing, because a conversation's row says how far it has got.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from schemas import events
from schemas.conversation import RECENT_CAUSES, ConversationView, RunStatus, apply, is_update
from schemas.opened import Opened


class Unfit(ValueError):
    """A record that cannot be stored as rows."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table, and how a row takes the place of one that is there.

    Attributes:
        columns: names and types, in the order of a row's values.
        conflict: what changes in a row that is there already; empty where rows never change, and are copied in.
    """

    name: str
    columns: Mapping[str, str]
    conflict: str = ""

    def upsert(self) -> str:
        """The statement that writes all rows at once, a column an array."""
        names = ", ".join(self.columns)
        # An array of arrays would be flattened by unnest: such a column travels as text.
        arrays = ", ".join(
            f"${n}::{'text' if kind.endswith('[]') else kind}[]" for n, kind in enumerate(self.columns.values(), 1)
        )
        values = ", ".join(f"{name}::{kind}" for name, kind in self.columns.items())
        return f"INSERT INTO {self.name} ({names}) SELECT {values} FROM unnest({arrays}) AS r ({names}) {self.conflict}"


CONVERSATIONS = Table(
    "conversations",
    {
        "id": "uuid",
        "project_id": "uuid",
        "created_by": "uuid",
        "title": "text",
        "title_by": "uuid",
        "archived": "boolean",
        "deleted": "boolean",
        "deleted_at": "timestamptz",
        "purged": "boolean",
        "agent_id": "uuid",
        "last_question_id": "uuid",
        "position": "bigint",
        "causes": "uuid[]",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
    },
    f"""
    ON CONFLICT (id) DO UPDATE SET
        title = excluded.title, title_by = excluded.title_by, archived = excluded.archived, deleted = excluded.deleted,
        deleted_at = excluded.deleted_at, purged = excluded.purged,
        agent_id = excluded.agent_id, last_question_id = excluded.last_question_id, position = excluded.position,
        causes = CASE WHEN excluded.causes = '{{}}' THEN conversations.causes ELSE
            (conversations.causes || excluded.causes)
                [greatest(1, cardinality(conversations.causes || excluded.causes) - {RECENT_CAUSES - 1}):] END,
        updated_at = excluded.updated_at
    WHERE conversations.position < excluded.position
    """,
)
MESSAGES = Table(
    "messages",
    {
        "id": "uuid",
        "conversation_id": "uuid",
        "project_id": "uuid",
        "position": "bigint",
        "role": "text",
        "author_id": "uuid",
        "agent_id": "uuid",
        "owner_id": "uuid",
        "content": "text",
        "content_deleted": "boolean",
        "digest": "text",
        "client_message_id": "uuid",
        "parent_message_id": "uuid",
        "run_id": "uuid",
        "finish_reason": "text",
        "usage": "jsonb",
        "created_at": "timestamptz",
    },
)
RUNS = Table(
    "runs",
    {
        "id": "uuid",
        "conversation_id": "uuid",
        "message_id": "uuid",
        "question_id": "uuid",
        "user_id": "uuid",
        "agent": "jsonb",
        "status": "text",
        "keep": "boolean",
        "ordinal": "bigint",
        "attempt": "integer",
        "last_seq": "integer",
        "finish_reason": "text",
        "usage": "jsonb",
        "error": "jsonb",
        "queued_at": "timestamptz",
        "requested_at": "timestamptz",
        "ended_at": "timestamptz",
        "ended_position": "bigint",
    },
    """
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, keep = excluded.keep, attempt = excluded.attempt, last_seq = excluded.last_seq,
        finish_reason = excluded.finish_reason, usage = excluded.usage, error = excluded.error,
        requested_at = excluded.requested_at, ended_at = excluded.ended_at, ended_position = excluded.ended_position
    """,
)
_NEW_RUNS = dataclasses.replace(RUNS, conflict="")
REJECTIONS = Table(
    "rejections",
    {
        "message_id": "uuid",
        "conversation_id": "uuid",
        "client_message_id": "uuid",
        "user_id": "uuid",
        "code": "text",
        "position": "bigint",
    },
)
REMEMBERED_CANCELS = Table("remembered_cancels", {"run_id": "uuid", "conversation_id": "uuid"})
PURGED = (MESSAGES, RUNS, REJECTIONS, REMEMBERED_CANCELS)
"""Where nothing of a purged conversation stays; its own row does, so that it is never begun anew."""


class RunRow(Struct):
    """A run's row, in the order of `RUNS`."""

    id: str
    conversation_id: str
    message_id: str
    question_id: str
    user_id: str
    agent: str
    status: str
    keep: bool
    ordinal: int
    """Orders the runs that wait: by position, negative (so the newest first) for those that were put to the front."""
    attempt: int
    last_seq: int
    finish_reason: str | None
    usage: str | None
    error: str | None
    queued_at: datetime
    requested_at: datetime | None
    ended_at: datetime | None
    ended_position: int | None


_ORDINALS_A_POSITION = 256
"""More than the runs that one command can queue."""


@dataclass(slots=True)
class Rows:
    """The rows that a batch touches. `conversations` and `runs` start as they are stored, the rest is new."""

    conversations: dict[str, ConversationView]
    runs: dict[str, RunRow]
    changed: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    causes: dict[str, list[str]] = field(default_factory=dict)
    messages: list[tuple[object, ...]] = field(default_factory=list)
    rejections: list[tuple[object, ...]] = field(default_factory=list)
    cancels: list[tuple[object, ...]] = field(default_factory=list)
    purged: set[str] = field(default_factory=set)
    """Conversations whose stored rows are to go, before any is written."""

    def has(self, record: events.ConversationAdvanced) -> bool:
        """Whether a record of this position is stored already: then this one is a repetition, or a zombie's."""
        view = self.conversations.get(record.conversation_id)
        return view is not None and record.position <= view.position

    def fold(self, opened: Opened) -> str | None:
        """Apply one record of a position that is not stored yet.

        Returns:
            What is odd about it although it was applied, or None.

        Raises:
            Unfit: it does not begin a conversation, and the conversation is not known.
        """
        record = opened.record
        view = self.conversations.get(record.conversation_id)
        stored = 0 if view is None else view.position
        if view is None and not any(isinstance(f, events.ConversationCreated) for f in record.facts):
            raise Unfit("the conversation is not known, and this record does not create it")
        odd = None
        if record.position > stored + 1:
            # Going on is the lesser evil: whoever asks where the conversation stands must hear of this position, or
            # it would be given to another record.
            odd = f"positions {stored + 1} to {record.position - 1} are missing before it"
            record = replace(record, position=stored + 1)
        view = replace(apply(view, record), position=opened.record.position)
        self.conversations[record.conversation_id] = view
        self.changed.add(record.conversation_id)
        for n, fact in enumerate(opened.record.facts):
            self._apply(opened, view, fact, n)
        if is_update(record):
            self.causes.setdefault(record.conversation_id, []).append(record.cause)
        return odd

    def writes(self, *, copy_new: bool = False) -> Iterator[tuple[Table, list[tuple[object, ...]]]]:
        """The rows to be written, by table.

        Args:
            copy_new: whether runs that begin here are copied in. A run that is stored already is then an error of the
                database, instead of a change of its row.
        """
        views = [self.conversations[conversation_id] for conversation_id in self.changed]
        yield CONVERSATIONS, [_conversation(view, self.causes.get(view.conversation_id, [])) for view in views]
        new = self.begun if copy_new else set()
        yield RUNS, [astuple(run) for run in self.runs.values() if run.id not in new]
        yield _NEW_RUNS, [astuple(self.runs[run_id]) for run_id in new]
        yield MESSAGES, self.messages
        yield REJECTIONS, self.rejections
        yield REMEMBERED_CANCELS, self.cancels

    def _apply(self, opened: Opened, view: ConversationView, fact: events.AnyFact, n: int) -> None:
        record = opened.record
        match fact:
            case events.MessagePosted():
                self.messages.append(_message(record, view.project_id, fact, fact.message_id in opened.gone))
            case events.MessageRejected():
                self.rejections.append(
                    (
                        fact.message_id,
                        record.conversation_id,
                        fact.client_message_id,
                        fact.user_id,
                        fact.code,
                        record.position,
                    )
                )
            case events.RunQueued():
                place = record.position * _ORDINALS_A_POSITION + n
                if fact.run_id not in self.runs:
                    self.begun.add(fact.run_id)
                self.runs[fact.run_id] = _run(record, fact, -place if fact.front else place)
            case events.RunRequested() | events.RunStarted() | events.RunCancelling() | events.RunEnded():
                run = self.runs.get(fact.run_id)
                if run is not None and run.ended_at is None:
                    _change(run, fact, record)
            case events.ConversationPurged():
                self._purge(record.conversation_id)
            case events.CancelRemembered():
                self.cancels.append((fact.run_id, record.conversation_id))
            case _:
                pass

    def _purge(self, conversation_id: str) -> None:
        self.purged.add(conversation_id)
        for table, rows in (
            (MESSAGES, self.messages),
            (REJECTIONS, self.rejections),
            (REMEMBERED_CANCELS, self.cancels),
        ):
            place = list(table.columns).index("conversation_id")
            rows[:] = [row for row in rows if row[place] != conversation_id]
        self.runs = {id: run for id, run in self.runs.items() if run.conversation_id != conversation_id}
        self.begun &= self.runs.keys()


def run_ids(records: Iterable[events.ConversationAdvanced]) -> set[str]:
    """The runs whose rows these records may change."""
    changes = (events.RunRequested, events.RunStarted, events.RunCancelling, events.RunEnded)
    return {fact.run_id for record in records for fact in record.facts if isinstance(fact, changes)}


def _conversation(view: ConversationView, causes: list[str]) -> tuple[object, ...]:
    return (
        view.conversation_id,
        view.project_id,
        view.created_by,
        view.title,
        view.title_by,
        view.archived,
        view.deleted,
        view.deleted_at,
        view.purged,
        view.agent_id,
        view.last_question_id,
        view.position,
        "{" + ",".join(causes[-RECENT_CAUSES:]) + "}",
        view.created_at,
        view.updated_at,
    )


def _message(
    record: events.ConversationAdvanced, project_id: str, fact: events.MessagePosted, gone: bool
) -> tuple[object, ...]:
    return (
        fact.message_id,
        record.conversation_id,
        project_id,
        record.position,
        fact.role,
        fact.author_id,
        fact.agent_id,
        fact.owner_id,
        fact.content,
        gone,
        fact.digest,
        fact.client_message_id,
        fact.parent_message_id,
        fact.run_id,
        fact.finish_reason,
        _json(fact.usage),
        fact.created_at,
    )


def _run(record: events.ConversationAdvanced, fact: events.RunQueued, ordinal: int) -> RunRow:
    return RunRow(
        id=fact.run_id,
        conversation_id=record.conversation_id,
        message_id=fact.message_id,
        question_id=fact.question_id,
        user_id=fact.user_id,
        agent=msgspec.json.encode(fact.agent).decode(),
        status=RunStatus.QUEUED,
        keep=True,
        ordinal=ordinal,
        attempt=0,
        last_seq=0,
        finish_reason=None,
        usage=None,
        error=None,
        queued_at=record.at,
        requested_at=None,
        ended_at=None,
        ended_position=None,
    )


def _change(
    run: RunRow,
    fact: events.RunRequested | events.RunStarted | events.RunCancelling | events.RunEnded,
    record: events.ConversationAdvanced,
) -> None:
    match fact:
        case events.RunRequested():
            run.status, run.requested_at = RunStatus.IN_PROGRESS, record.at
        case events.RunStarted():
            run.attempt = fact.attempt
        case events.RunCancelling():
            run.status, run.keep = RunStatus.CANCELLING, fact.keep
        case events.RunEnded():
            run.status, run.finish_reason = fact.status, fact.finish_reason
            run.attempt, run.last_seq = fact.attempt, fact.last_seq
            run.usage, run.error = _json(fact.usage), _json(fact.error)
            run.ended_at, run.ended_position = record.at, record.position


def _json(value: Struct | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
