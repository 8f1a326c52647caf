"""A conversation as it really went, and what those who watch it are told: by hand, so that a test can lose some."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from infra.deltas import DeltaMessage
from infra.live import LiveRecord
from schemas import events, ids, shown
from schemas.conversation import LISTED, ConversationView, apply

NOW = datetime(2026, 11, 22, tzinfo=UTC)
EPOCH = "0123abcd"
TALK, PROJECT, ADA, BOB, AGENT = (str(UUID(int=n)) for n in range(1, 6))


@dataclass
class World:
    """A conversation as it really went: its records, and what Redis has of its answers' texts."""

    conversation_id: str = TALK
    project_id: str = PROJECT
    user_id: str = ADA
    agent_id: str = AGENT
    epoch: str = EPOCH
    records: list[LiveRecord] = field(default_factory=list)
    views: list[ConversationView] = field(default_factory=list)
    deltas: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    channel: list[LiveRecord | DeltaMessage] = field(default_factory=list)
    """What was told, in its order."""

    def __post_init__(self) -> None:
        self.happen(events.ConversationCreated(user_id=self.user_id, title="Talk", agent_id=self.agent_id))

    @property
    def view(self) -> ConversationView:
        return self.views[-1]

    def happen(self, *facts: events.AnyFact) -> LiveRecord:
        position = len(self.records) + 1
        record = events.ConversationAdvanced(
            conversation_id=self.conversation_id,
            project_id=self.project_id,
            position=position,
            cause=str(UUID(int=position)),
            at=NOW,
            facts=list(facts),
        )
        self.views.append(apply(self.views[-1] if self.views else None, record))
        listed = any(isinstance(f, LISTED) for f in facts)
        live = LiveRecord(
            epoch=self.epoch, record=record, conversation=shown.conversation(self.view) if listed else None
        )
        self.records.append(live)
        self.channel.append(live)
        return live

    def ask(self, number: int) -> str:
        """Somebody asks; the run's id."""
        message_id = ids.message_id(self.conversation_id, self.user_id, str(UUID(int=number)))
        run_id = ids.run_id(message_id)
        facts: list[events.AnyFact] = [
            self.posted(message_id, "user", f"question {number}"),
            events.RunQueued(
                run_id=run_id,
                message_id=ids.answer_id(run_id),
                question_id=message_id,
                agent=events.AgentRef(agent_id=self.agent_id, version=1),
                user_id=self.user_id,
            ),
        ]
        if not self.view.runs:
            facts.append(events.RunRequested(run_id=run_id))
        self.happen(*facts)
        return run_id

    def start(self, run_id: str, attempt: int = 1) -> None:
        self.happen(events.RunStarted(run_id=run_id, attempt=attempt))

    def say(self, run_id: str, attempt: int, *texts: str) -> DeltaMessage:
        said = self.deltas.setdefault((run_id, attempt), [])
        told = DeltaMessage(
            run_id=run_id, attempt=attempt, from_seq=len(said) + 1, seq=len(said) + len(texts), text="".join(texts)
        )
        said += texts
        self.channel.append(told)
        return told

    def end(self, run_id: str, attempt: int, *, keep: bool = True) -> LiveRecord:
        said = self.deltas.get((run_id, attempt), [])
        content = "".join(said)
        facts: list[events.AnyFact] = []
        if said and keep:
            question_id = self.view.runs[run_id].question_id
            facts.append(self.posted(ids.answer_id(run_id), "assistant", content, run_id, question_id))
        facts.append(
            events.RunEnded(
                run_id=run_id,
                attempt=attempt,
                last_seq=len(said),
                status="completed" if keep else "cancelled",
                finish_reason="stop",
            )
        )
        others = [r for r in self.view.runs if r != run_id]
        if others and next(iter(self.view.runs)) == run_id:
            facts.append(events.RunRequested(run_id=others[0]))
        return self.happen(*facts)

    def posted(
        self, message_id: str, role: str, content: str, run_id: str | None = None, answers: str | None = None
    ) -> events.MessagePosted:
        return events.MessagePosted(
            message_id=message_id,
            role=role,
            owner_id=self.user_id,
            content=content,
            created_at=NOW,
            author_id=self.user_id if role == "user" else None,
            agent_id=self.agent_id if role == "assistant" else None,
            run_id=run_id,
            parent_message_id=answers,
        )
