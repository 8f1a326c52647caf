"""What answers took: the events of the topic `usage`, CloudEvents that OpenMeter and its like read as they are.

Of each run there is one `RunUsed`, made of the end that its conversation accepted; its id follows from the run alone,
so nobody ever counts it twice. What other attempts at the run took is an `AttemptUsed`: it has cost somebody, and is
charged to nobody. Add up the first kind only to know what people owe.

The subject is the project that pays. The time of the record is when the attempt ended, by the clock of replies.
"""

from typing import ClassVar, TypeAlias

from msgspec import Struct

from schemas.events import AgentRef, Attempt, Usage
from schemas.ids import Uuid


class Used(Struct, frozen=True, kw_only=True):
    """What one attempt at a run took.

    Attributes:
        user_id: who asked.
        agent: who answered; it names the price, where there is one.
        status, finish_reason: how the run ended, for its one event; how the attempt did, for the others.
        usage: tokens, who counted them, and the cost: what the run is charged, at most what was reserved for it.
    """

    project_id: Uuid
    conversation_id: Uuid
    run_id: Uuid
    attempt: Attempt
    user_id: Uuid
    agent: AgentRef
    status: str
    finish_reason: str
    usage: Usage

    @property
    def subject(self) -> str:
        return self.project_id


class RunUsed(Used, frozen=True, kw_only=True):
    """A run is over, once and for all, and this is what it is charged for."""

    type: ClassVar[str] = "chorus.run.used.v1"


class AttemptUsed(Used, frozen=True, kw_only=True):
    """An attempt whose end was not accepted took this. It is charged to nobody."""

    type: ClassVar[str] = "chorus.attempt.used.v1"


UsageEvent: TypeAlias = RunUsed | AttemptUsed
