"""Every topic: who writes it, who reads it, its key, how long it is kept, and its contract."""

from dataclasses import dataclass
from typing import Any

from schemas import account_events, events, usage
from schemas.contract import Contract, EventType, event_type
from schemas.dead_letters import dead_letter_topic

ACCOUNT_PARTITIONS = 3
"""Of the topics that say how accounts are: they are changed by hand, and what one key says fits any of them."""

CONVERSATION_PARTITIONS = 12
"""Equal for all conversation topics, and never changed: a conversation's partition is where its order lives."""

_DAY_MS = 24 * 60 * 60 * 1000
FOR_EVER = -1

MAX_RECORD_BYTES = 1_048_576
"""The broker's limit for one record (close to Kafka's default): outputs are bounded to fit it."""


@dataclass(frozen=True)
class Topic:
    """One topic as a contract between its owner and its readers.

    Attributes:
        key: what the record key names; records of one key keep their order.
        retention_ms: milliseconds that records are kept, or `FOR_EVER`.
        compacted: whether only the newest record of each key is kept.
    """

    name: str
    key: str
    owner: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    partitions: int
    retention_ms: int
    contract: Contract[Any] | None
    description: str
    compacted: bool = False

    @property
    def dead_letters(self) -> str:
        return dead_letter_topic(self.name)


CONVERSATION_COMMANDS: Contract[events.ConversationCommand] = Contract(
    "conversation-commands", [event_type(t) for t in events.ConversationCommand.__args__]
)
CONVERSATION_EVENTS: Contract[events.ConversationAdvanced] = Contract(
    "conversation-events",
    [EventType(events.ConversationAdvanced, events.decode_advanced, events.encode_advanced)],
)
AGENT_REQUESTS: Contract[events.AgentRequest] = Contract(
    "agent-requests", [event_type(t) for t in events.AgentRequest.__args__]
)
ACCOUNT_EVENTS: Contract[account_events.AccountEvent] = Contract(
    "account-events", [event_type(account_events.ProjectChanged)]
)
AGENT_EVENTS: Contract[account_events.AgentEvent] = Contract("agent-events", [event_type(account_events.AgentChanged)])
USAGE: Contract[usage.UsageEvent] = Contract("usage", [event_type(t) for t in (usage.RunUsed, usage.AttemptUsed)])

TOPICS: tuple[Topic, ...] = (
    Topic(
        name="conversation-commands",
        key="conversation_id",
        owner="edge",
        writers=("edge", "replies", "conversations", "outbox"),
        readers=("conversations", "replies"),
        partitions=CONVERSATION_PARTITIONS,
        retention_ms=7 * _DAY_MS,
        contract=CONVERSATION_COMMANDS,
        description="The one inbox of every conversation: what people ask and what replies reports, in one order.",
    ),
    Topic(
        name="conversation-events",
        key="conversation_id",
        owner="conversations",
        writers=("conversations",),
        readers=("history", "live", "notifications", "conversations"),
        partitions=CONVERSATION_PARTITIONS,
        retention_ms=FOR_EVER,
        contract=CONVERSATION_EVENTS,
        description="What happened, in each conversation's own order. Kept for ever; never re-driven into.",
    ),
    Topic(
        name="agent-requests",
        key="conversation_id",
        owner="conversations",
        writers=("conversations",),
        readers=("replies",),
        partitions=CONVERSATION_PARTITIONS,
        retention_ms=7 * _DAY_MS,
        contract=AGENT_REQUESTS,
        description="Which runs are to be answered, and which are to be stopped.",
    ),
    Topic(
        name="usage",
        key="project_id",
        owner="conversations",
        writers=("conversations",),
        readers=("billing",),
        partitions=CONVERSATION_PARTITIONS,
        retention_ms=FOR_EVER,
        contract=USAGE,
        description="What each run took, once, and what its other attempts took. Kept for ever: bills are made of it.",
    ),
    Topic(
        name="account-events",
        key="project_id",
        owner="outbox",
        writers=("outbox",),
        readers=("gateway", "api"),
        partitions=ACCOUNT_PARTITIONS,
        retention_ms=FOR_EVER,
        contract=ACCOUNT_EVENTS,
        description="How each project is now: who is in it, as what. The newest record of each is kept.",
        compacted=True,
    ),
    Topic(
        name="agent-events",
        key="agent_id",
        owner="outbox",
        writers=("outbox",),
        readers=("gateway", "api"),
        partitions=ACCOUNT_PARTITIONS,
        retention_ms=FOR_EVER,
        contract=AGENT_EVENTS,
        description="How each agent is now: its version, and whether it is there. The newest record of each is kept.",
        compacted=True,
    ),
)

DEAD_LETTER_RETENTION_MS = 30 * _DAY_MS
"""Long enough for a person to come back from a holiday and mend what is in there."""

DEAD_LETTER_HEADER_BYTES = 65_536
"""Room for what a dead letter says about its record, so that the largest record there is can still be set aside."""
