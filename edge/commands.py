"""The one way onto Kafka for what people ask, over WebSocket and REST alike.

Each method checks who may do it, seals the text, publishes the command, and returns only what was earned: once the
broker has it or, where the outcome matters, once the conversation has decided. `unavailable` means not known to be
stored; doing the same again with the same ids is always safe.
"""

from dataclasses import dataclass

import asyncpg
from msgspec import UNSET, UnsetType
from redis.asyncio import Redis

from edge.access import Access
from edge.decisions import Decisions
from infra.kafka import Publisher
from infra.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the broker has.

    Attributes:
        run_id: the run that will answer it; None where no agent does.
        cursor: set where the conversation has decided and history has it: readable at once on any process.
    """

    message_id: str
    run_id: str | None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A conversation that was created, updated or deleted.

    Attributes:
        position: where the conversation stood after it.
        readable: whether history has it, so that any process reads it; else it is safe and will be readable soon.
    """

    conversation_id: str
    position: int
    readable: bool


class Commands:
    """What people may ask of conversations. Every method raises `Refused` and nothing else for what a client can see:
    `not_found` for another's conversation as for one that does not exist, `forbidden` for a role that may not,
    `unavailable` when Kafka gave no word within 5 s, and what its own docstring names.
    """

    def __init__(
        self,
        *,
        access: Access,
        keyring: Keyring,
        publisher: Publisher,
        decisions: Decisions,
        redis: Redis,
        pool: "asyncpg.Pool[asyncpg.Record]",
        epoch: str,
    ) -> None:
        raise NotImplementedError

    async def send_message(
        self,
        user_id: str,
        *,
        conversation_id: str,
        client_message_id: str,
        content: str,
        agent_id: str | None | UnsetType = UNSET,
        when_busy: str = "enqueue",
    ) -> Sent:
        """Say something. The same `client_message_id` again gives the same answer and changes nothing.

        With `when_busy="reject"` it waits for the decision.

        Args:
            agent_id: who answers; absent the conversation's agent, None nobody.

        Raises:
            Refused: also `invalid`, `too_large`, `idempotency_mismatch`, `conversation_archived`, `conversation_busy`.
        """
        raise NotImplementedError

    async def regenerate(
        self, user_id: str, *, conversation_id: str, message_id: str, client_request_id: str
    ) -> str:
        """Answer a question again (`message_id` is the question or one of its answers); returns the run's id.

        Raises:
            Refused: also `conversation_archived`, and `invalid` where no agent answers here.
        """
        raise NotImplementedError

    async def cancel(
        self,
        user_id: str,
        *,
        conversation_id: str,
        run_id: str | None = None,
        client_message_id: str | None = None,
    ) -> str:
        """Stop an answer, named by its run or by the caller's own message; returns the run's status.

        Works before the run has started, even before the message has arrived; doing it again answers the same.

        Raises:
            Refused: also `run_ended`, and `invalid` where not exactly one of the two names is given.
        """
        raise NotImplementedError

    async def create(
        self,
        user_id: str,
        *,
        project_id: str,
        conversation_id: str | None = None,
        title: str | None = None,
        agent_id: str | None | UnsetType = UNSET,
    ) -> Changed:
        """Start a conversation.

        Args:
            agent_id: who answers in it; absent the project's default agent, None nobody.
        """
        raise NotImplementedError

    async def update(
        self,
        user_id: str,
        *,
        conversation_id: str,
        title: str | None | UnsetType = UNSET,
        archived: bool | UnsetType = UNSET,
        agent_id: str | None | UnsetType = UNSET,
    ) -> Changed:
        """Rename, archive, restore, or let another agent answer. What is absent stays as it is.

        Raises:
            Refused: also `invalid` where nothing is given.
        """
        raise NotImplementedError

    async def delete(self, user_id: str, *, conversation_id: str) -> Changed:
        """Delete a conversation, for everybody and for good."""
        raise NotImplementedError
