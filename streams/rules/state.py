"""What the rule knows of one conversation: the fold of its records, and nothing else.

More than the view that everybody shares: every id that was ever used here, because doing a thing twice must be seen at
any time later, and the sealed texts that agents may still have to be shown.
"""

from dataclasses import dataclass, field

from msgspec import UNSET, Struct
from msgspec.structs import replace

from schemas import events
from schemas.conversation import RECENT_CAUSES, ConversationView, apply, is_update

_UPDATES = (events.ConversationUpdated, events.ConversationDeleted, events.ConversationRestored)
_ENTRY_BYTES = 500
"""What an id and the little that is kept with it take in memory, roughly."""


class Said(Struct, frozen=True, gc=False):
    """A message without its text. An answer's parent is its question, a question's the question before."""

    role: str
    owner_id: str
    parent_id: str | None
    digest: str | None


@dataclass(slots=True)
class State:
    """One conversation at one position.

    Attributes:
        view: what everybody knows, without the title: no rule reads it.
        messages: all of them by id, in the order in which they were said.
        newest_answer: of each question that has one.
        rejected: the code with which a message was refused, by the message's id.
        ended: how each run that is over ended, by its id.
        accepted: the attempt whose end was accepted, of each run that is over; 0 where the agent was never asked.
        cancelled_early: runs that were cancelled before their question came.
        causes: the last commands that updated, deleted or restored the conversation, oldest first.
        updated_position: that of the last record that updated, deleted or restored the conversation, or a later one
            where the state was read from tables, which do not say: hence no part of what makes two states equal.
        titled: whether it has a title, given by a person or made of its first exchange.
        texts: sealed texts by message id, of recent messages at least; None where the owner's key is gone. They can
            be fetched again, so they are no part of what makes two states equal.
    """

    view: ConversationView
    messages: dict[str, Said] = field(default_factory=dict)
    newest_answer: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    cancelled_early: set[str] = field(default_factory=set)
    causes: list[str] = field(default_factory=list)
    updated_position: int = field(default=0, compare=False)
    titled: bool = False
    texts: dict[str, str | None] = field(default_factory=dict, compare=False)

    def add(self, message_id: str, said: Said) -> None:
        self.messages[message_id] = said
        if said.role == "assistant" and said.parent_id is not None:
            self.newest_answer[said.parent_id] = message_id

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        entries = len(self.messages) + len(self.rejected) + len(self.ended) + len(self.view.runs)
        return _ENTRY_BYTES * (1 + entries) + sum(len(text) for text in self.texts.values() if text)


def fold(state: State | None, record: events.ConversationAdvanced) -> State:
    """The state after `record`; it takes the place of `state`, which is changed. `None` is before the first record.

    Raises:
        OutOfOrder: `record.position` is not one more than the state's; the state is as it was.
    """
    view = replace(apply(None if state is None else state.view, record), title=None)
    if state is None:
        state = State(view)
    state.view = view
    for fact in record.facts:
        match fact:
            case events.MessagePosted():
                state.add(fact.message_id, Said(fact.role, fact.owner_id, fact.parent_message_id, fact.digest))
                state.texts[fact.message_id] = fact.content
            case events.ConversationCreated():
                state.titled = fact.title is not None
            case events.ConversationUpdated() if fact.title is not UNSET:
                state.titled = fact.title is not None
            case events.ConversationPurged():
                state = State(view, causes=state.causes)
            case events.MessageRejected():
                state.rejected[fact.message_id] = fact.code
            case events.CancelRemembered():
                state.cancelled_early.add(fact.run_id)
            case events.RunQueued():
                state.cancelled_early.discard(fact.run_id)
            case events.RunEnded():
                state.ended[fact.run_id] = fact.status
                state.accepted[fact.run_id] = fact.attempt
    if any(isinstance(fact, _UPDATES) for fact in record.facts):
        state.updated_position = record.position
    if is_update(record):
        state.causes = [*state.causes, record.cause][-RECENT_CAUSES:]
    return state
