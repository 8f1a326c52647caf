"""Made-up conversations: sequences of records as the conversations processor could have written them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from schemas import events, ids
from schemas.conversation import ConversationView, RunStatus, RunView, apply, running
from schemas.opened import opened
from schemas.sealing import DataKey

AGENT = ids.new_id()
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Talk:
    """One conversation that goes on, one record at a time, sealed with `key`.

    What happens next is drawn from `random`, from what the state allows; the state is the fold of the records.
    """

    random: random.Random
    key: DataKey
    project_id: str = field(default_factory=ids.new_id)
    conversation_id: str = field(default_factory=ids.new_id)
    view: ConversationView | None = None
    questions: list[str] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    """Every text of a message, by its id."""

    @property
    def user_id(self) -> str:
        return self.key.owner_id

    def record(self, *facts: events.AnyFact, cause: str | None = None) -> events.ConversationAdvanced:
        """The next record, holding these facts."""
        position = (0 if self.view is None else self.view.position) + 1
        made = events.ConversationAdvanced(
            conversation_id=self.conversation_id,
            project_id=self.project_id,
            position=position,
            cause=cause or ids.new_id(),
            at=START + timedelta(seconds=position, microseconds=self.random.randrange(10**6)),
            facts=list(facts),
        )
        self.view = apply(self.view, made)
        return made

    @property
    def plain(self) -> ConversationView | None:
        """The conversation so far, its title opened."""
        if self.view is None or self.view.title is None:
            return self.view
        return replace(self.view, title=self.key.unseal(self.conversation_id, self.view.title))

    def opened(self, record: events.ConversationAdvanced) -> events.ConversationAdvanced:
        """The record with plain texts."""
        return opened(record, {self.key.owner_id: self.key}).record

    def created(self, title: str | None = "Tiêu đề") -> events.ConversationAdvanced:
        sealed = None if title is None else self.key.seal(self.conversation_id, title)
        return self.record(events.ConversationCreated(user_id=self.user_id, title=sealed, agent_id=AGENT))

    def posted(self, text: str, *, question_id: str | None = None, **fields: object) -> events.MessagePosted:
        """The fact of a question, or of an answer to `question_id`."""
        assert self.view is not None
        message_id = str(fields.pop("message_id", None) or ids.new_id())
        self.said[message_id] = text
        if question_id is None:
            self.questions.append(message_id)
            person = {
                "author_id": self.user_id,
                "client_message_id": ids.new_id(),
                "digest": self.key.digest(text),
                "parent_message_id": self.view.last_question_id,
            }
        else:
            person = {"agent_id": AGENT, "parent_message_id": question_id}
        return events.MessagePosted(
            message_id=message_id,
            role="user" if question_id is None else "assistant",
            owner_id=self.user_id,
            content=self.key.seal(message_id, text),
            created_at=START + timedelta(seconds=self.view.position + 1),
            **(person | fields),  # type: ignore[arg-type]
        )

    def queued(self, question_id: str, *, front: bool = False) -> events.RunQueued:
        run_id = ids.new_id()
        return events.RunQueued(
            run_id=run_id,
            message_id=ids.answer_id(run_id),
            question_id=question_id,
            agent=events.AgentRef(agent_id=AGENT, version=1),
            user_id=self.user_id,
            front=front,
        )

    def ended(self, run: RunView, text: str | None) -> list[events.AnyFact]:
        """A run's end: its answer, where there is one, the end, and the turn of the next."""
        assert self.view is not None
        status = self.random.choice(list(RunStatus)[3:])
        facts: list[events.AnyFact] = []
        usage = events.Usage(input_tokens=3, output_tokens=5, source="provider")
        if text is not None and run.keep:
            facts.append(
                self.posted(
                    text,
                    question_id=run.question_id,
                    message_id=run.message_id,
                    run_id=run.run_id,
                    finish_reason="stop",
                    usage=usage,
                )
            )
        facts.append(
            events.RunEnded(
                run_id=run.run_id,
                attempt=run.attempt,
                last_seq=7,
                status=status,
                finish_reason="stop" if status == RunStatus.COMPLETED else "error",
                usage=usage,
                error=events.RunError(code="internal", message="Hỏng") if status == RunStatus.FAILED else None,
            )
        )
        waiting = [r for r in self.view.runs.values() if r.run_id != run.run_id]
        if waiting and running(self.view) is run:
            facts.append(events.RunRequested(run_id=waiting[0].run_id))
        return facts

    def end(self) -> list[events.ConversationAdvanced]:
        """The records that bring it to its end for good: what is open ends, it is deleted, and purged."""
        assert self.view is not None
        ends = [
            events.RunEnded(run_id=run_id, attempt=0, last_seq=0, status=RunStatus.CANCELLED, finish_reason="cancelled")
            for run_id in self.view.runs
        ]
        deleted = self.record(*ends, events.ConversationDeleted(user_id=self.user_id))
        return [deleted, self.record(events.ConversationPurged())]

    def next(self) -> events.ConversationAdvanced:
        """Whatever may happen next."""
        if self.view is None:
            return self.created(self.random.choice([None, "Giá cà phê", "x" * 200]))
        return self.record(*self.random.choice(list(self._possible()))())

    def go_on(self, records: int) -> list[events.ConversationAdvanced]:
        return [self.next() for _ in range(records)]

    def _possible(self) -> Iterator[Callable[[], list[events.AnyFact]]]:
        assert self.view is not None
        view, draw = self.view, self.random
        text = f'Câu số {view.position} 🙂 "\\ ' + "ă" * draw.randrange(80)
        current = running(view)
        waiting = [run for run in view.runs.values() if run.status == RunStatus.QUEUED]

        def asks(front: bool = False) -> list[events.AnyFact]:
            question = self.posted(text)
            queued = self.queued(question.message_id, front=front)
            if current is None:
                return [question, queued, events.RunRequested(run_id=queued.run_id)]
            if front and current.status != RunStatus.CANCELLING:
                return [question, queued, events.RunCancelling(run_id=current.run_id, keep=draw.random() < 0.5)]
            return [question, queued]

        yield asks
        yield asks
        yield lambda: asks(front=True)
        yield lambda: [self.posted(text)]
        yield lambda: [
            events.MessageRejected(
                message_id=ids.new_id(),
                client_message_id=ids.new_id(),
                user_id=self.user_id,
                code="conversation_busy",
            )
        ]
        title = draw.choice([None, self.key.seal(self.conversation_id, f"Tên {view.position}")])
        yield lambda: [events.ConversationUpdated(user_id=self.user_id, title=title)]
        yield lambda: [events.ConversationUpdated(user_id=self.user_id, archived=not view.archived)]
        yield lambda: [events.ConversationUpdated(user_id=self.user_id, agent_id=draw.choice([None, AGENT]))]
        yield lambda: [events.CancelRemembered(run_id=ids.new_id())]
        yield lambda: [events.UnknownFact(fact="message.pinned", raw=b'{"fact":"message.pinned","by":"someone"}')]
        yield lambda: [events.RunStarted(run_id=ids.new_id(), attempt=1)]
        if draw.random() < 0.1:
            yield lambda: [events.ConversationDeleted(user_id=self.user_id)]
        if view.deleted:
            yield lambda: [events.ConversationRestored(user_id=self.user_id)]
        if current is not None:
            yield lambda: [events.RunStarted(run_id=current.run_id, attempt=current.attempt + 1)]
            yield lambda: self.ended(current, text)
            yield lambda: self.ended(current, None)
            yield lambda: self.ended(current, text)
            if current.status == RunStatus.IN_PROGRESS:
                yield lambda: [events.RunCancelling(run_id=current.run_id, keep=draw.random() < 0.5)]
        if waiting:
            yield lambda: self.ended(draw.choice(waiting), None)
