"""PostgreSQL's rows as the records that would have told them. Pure.

A feed that missed more than the window holds is told what happened from rows, by the same rules as from records.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from infra.history import StoredRun
from infra.live import LiveRecord
from schemas import events, frames
from schemas.conversation import ConversationView


def records_of_rows(
    view: ConversationView,
    epoch: str,
    after: int,
    messages: list[tuple[int, frames.Message]],
    runs: list[StoredRun],
    rejected: Mapping[str, list[tuple[int, frames.Rejected]]],
    open_runs: Collection[str],
) -> list[LiveRecord]:
    """PostgreSQL's rows after a position, up to the view's, as the records that would have told them."""
    facts: dict[int, list[events.AnyFact]] = {}
    gone: set[str] = set()

    def add(position: int, fact: events.AnyFact) -> None:
        if position <= view.position:
            facts.setdefault(position, []).append(fact)

    for run in runs:
        if run.ended_position is None or run.ended_position > view.position:
            continue
        # Before anything else, because what a run says is told only once it is known.
        if run.run_id not in open_runs:
            add(after + 1, _row_queued(run))
        if run.attempt:
            add(after + 1, events.RunStarted(run_id=run.run_id, attempt=run.attempt))
    for position, message in messages:
        if message.deleted:
            gone.add(message.id)
        add(position, _row_posted(message))
    for run in runs:
        if run.ended_position is not None:
            add(run.ended_position, _row_ended(run))
    for user_id, refusals in rejected.items():
        for position, refusal in refusals:
            add(
                position,
                events.MessageRejected(
                    message_id=refusal.message_id,
                    client_message_id=refusal.client_message_id,
                    user_id=user_id,
                    code=refusal.code,
                ),
            )
    return [
        LiveRecord(
            epoch=epoch,
            record=events.ConversationAdvanced(
                conversation_id=view.conversation_id,
                project_id=view.project_id,
                position=position,
                cause=view.conversation_id,
                at=datetime.now(UTC),
                facts=facts[position],
            ),
            gone=frozenset(gone),
        )
        for position in sorted(facts)
    ]


def _row_queued(run: StoredRun) -> events.RunQueued:
    return events.RunQueued(
        run_id=run.run_id,
        message_id=run.message_id,
        question_id=run.question_id,
        agent=run.agent,
        user_id=run.user_id,
    )


def _row_ended(run: StoredRun) -> events.RunEnded:
    return events.RunEnded(
        run_id=run.run_id,
        attempt=run.attempt,
        last_seq=run.last_seq,
        status=run.status,
        finish_reason=run.finish_reason or "stop",
        usage=run.usage,
        error=run.error,
    )


def _row_posted(message: frames.Message) -> events.MessagePosted:
    return events.MessagePosted(
        message_id=message.id,
        role=message.role,
        owner_id=message.author_id or "",
        content=message.content,
        created_at=message.created_at,
        author_id=message.author_id,
        agent_id=message.agent_id,
        client_message_id=message.client_message_id,
        parent_message_id=message.parent_message_id,
        run_id=message.run_id,
        finish_reason=message.finish_reason,
        usage=message.usage,
    )
