"""A conversation to talk to: commands in, outcomes out, the state kept by the records alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from schemas import events, ids
from streams.rules.conversation import Outcome, decide
from streams.rules.state import State, fold


def an_id(name: str) -> str:
    """The id that a name stands for, the same in every test."""
    return str(uuid5(NAMESPACE_URL, name))


HERE, PROJECT, ANN, BEN = an_id("here"), an_id("project"), an_id("ann"), an_id("ben")
AGENT = events.AgentRef(agent_id=an_id("agent"), version=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def message_id(name: str, user: str = ANN) -> str:
    return ids.message_id(HERE, user, an_id(name))


def run_of(name: str, user: str = ANN) -> str:
    return ids.run_id(message_id(name, user))


def a_message(name: str, *, text: str | None = None, user: str = ANN, **fields: Any) -> events.SendMessage:
    """What `user` sends under the client message id that `name` stands for."""
    text = name if text is None else text
    given: dict[str, Any] = {
        "conversation_id": HERE,
        "project_id": PROJECT,
        "user_id": user,
        "role": "member",
        "message_id": message_id(name, user),
        "client_message_id": an_id(name),
        "content": f"1.{user}.{text}",
        "digest": text,
        "agent": AGENT,
    }
    return events.SendMessage(**(given | fields))


class Talk:
    """Decides each command on what the ones before led to, one second apart."""

    def __init__(self, *, created: bool = True) -> None:
        self.state: State | None = None
        self.records: list[events.ConversationAdvanced] = []
        self.now = START
        if created:
            self.create()

    def do(self, command: events.ConversationCommand, cause: str | None = None) -> Outcome:
        self.now += timedelta(seconds=1)
        outcome = decide(self.state, command, cause or ids.new_id(), self.now)
        if outcome.record is not None:
            self.state = fold(self.state, outcome.record)
            self.records.append(outcome.record)
        return outcome

    def _command(
        self, kind: Callable[..., events.ConversationCommand], cause: str | None, fields: dict[str, Any]
    ) -> Outcome:
        given = {"conversation_id": HERE, "project_id": PROJECT, "user_id": ANN, "role": "member"}
        return self.do(kind(**(given | fields)), cause)

    def create(self, *, cause: str | None = None, **fields: Any) -> Outcome:
        return self._command(events.CreateConversation, cause, fields)

    def update(self, *, cause: str | None = None, **fields: Any) -> Outcome:
        return self._command(events.UpdateConversation, cause, fields)

    def delete(self, *, cause: str | None = None, **fields: Any) -> Outcome:
        return self._command(events.DeleteConversation, cause, fields)

    def restore(self, *, cause: str | None = None, **fields: Any) -> Outcome:
        return self._command(events.RestoreConversation, cause, fields)

    def purge(self, deleted_at: datetime | None = None) -> Outcome:
        """What is asked of a conversation that was deleted then; as it is, where nothing is said."""
        assert self.state is not None
        deleted_at = deleted_at or self.state.view.deleted_at
        assert deleted_at is not None
        return self.do(
            events.PurgeConversation(conversation_id=HERE, deleted_at=deleted_at), ids.purge_id(HERE, deleted_at)
        )

    def send(self, name: str, **fields: Any) -> Outcome:
        return self.do(a_message(name, **fields))

    def cancel(self, run_id: str, **fields: Any) -> Outcome:
        return self._command(events.CancelRun, None, {"run_id": run_id, **fields})

    def regenerate(self, message: str, request: str, **fields: Any) -> Outcome:
        wanted = {
            "message_id": message,
            "client_request_id": an_id(request),
            "run_id": ids.regenerated_run_id(message, an_id(request)),
            "agent": AGENT,
        }
        return self._command(events.RegenerateAnswer, None, wanted | fields)

    def started(self, run_id: str, attempt: int = 1) -> Outcome:
        report = events.RunStartedReport(conversation_id=HERE, run_id=run_id, attempt=attempt)
        return self.do(report, ids.started_id(run_id, attempt))

    def ended(
        self, run_id: str, attempt: int = 1, *, status: str = "completed", last_seq: int = 3, **fields: Any
    ) -> Outcome:
        report = events.RunEndedReport(
            conversation_id=HERE,
            run_id=run_id,
            attempt=attempt,
            last_seq=last_seq,
            status=status,
            finish_reason="stop" if status == "completed" else "error",
            content=f"1.{ANN}.answer",
            **fields,
        )
        return self.do(report, ids.ended_id(run_id, attempt))


def tags(outcome: Outcome) -> list[str]:
    """What a command led to, as the names of its facts."""
    return [] if outcome.record is None else [str(fact.__struct_config__.tag) for fact in outcome.record.facts]
