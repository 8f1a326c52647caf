"""The one way onto Kafka for what people ask, over WebSocket and REST alike.

Each method checks who may do it, seals the text, publishes the command, and returns only what was earned: once the
broker has it or, where the outcome matters, once the conversation has decided. `unavailable` means not known to be
stored; doing the same again with the same ids is always safe.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import asyncpg
from aiokafka.errors import KafkaError
from msgspec import UNSET, UnsetType
from redis.asyncio import Redis

from edge import metrics
from edge.access import Access, ConversationAccess
from edge.decisions import Decisions
from edge.errors import Forbidden, Refused, invalid
from edge.pushes import cursor
from edge.sent import Before, SentBefore
from infra import budgets, history, ledger, postgres
from infra.kafka import Publisher
from infra.keyring import Keyring
from infra.tracing import new_traceparent
from schemas import events, ids
from schemas.events import AgentRef, Decision
from schemas.frames import MAX_CONTENT_CHARACTERS, MAX_TITLE_CHARACTERS, WHEN_BUSY, ErrorCode
from schemas.roles import Action, may
from schemas.sealing import DataKey
from schemas.topics import CONVERSATION_COMMANDS

PUBLISH_WITHIN_S: Final = 5.0
"""Seconds for the broker's word; then the client is told `unavailable` and sends again."""
DECIDE_WITHIN_S: Final = 5.0
"""Seconds for the conversation's decision."""
ASK_AGAIN_S: Final = 2.0
"""Seconds after which the command is published again: its decision may have been told while Redis was away."""
CREDIT_S: Final = 0.5
"""Seconds for a look at the wallet; then the question goes on its way, and is looked at where it is answered."""
HISTORY_WITHIN_S: Final = 2.0
"""Seconds that a change waits to be readable everywhere."""
_POLL_S: Final = 0.02

_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


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
        self._access = access
        self._keyring = keyring
        self._publisher = publisher
        self._decisions = decisions
        self._pool = pool
        self._epoch = epoch
        self._sent = SentBefore(redis, pool)

    async def send_message(
        self,
        user_id: str,
        *,
        conversation_id: str,
        client_message_id: str,
        content: str,
        agent_id: str | UnsetType | None = UNSET,
        when_busy: str = "enqueue",
        edits: str | None = None,
        on_its_way: Callable[[], None] | None = None,
    ) -> Sent:
        """Say something. The same `client_message_id` again gives the same answer and changes nothing.

        With `when_busy="reject"`, or where it `edits` another, it waits for the decision.

        Args:
            agent_id: who answers; absent the conversation's agent, None nobody.
            edits: the caller's own message that this one is to stand beside.
            on_its_way: called when whatever is sent to the conversation from now on comes behind this message.

        Raises:
            Refused: also `invalid`, `too_large`, `idempotency_mismatch`, `conversation_archived`, `conversation_busy`,
                `insufficient_credits`.
        """
        _check_content(content)
        if when_busy not in WHEN_BUSY:
            raise invalid(when_busy=f"not one of {', '.join(sorted(WHEN_BUSY))}")
        conversation = await self._writable(user_id, conversation_id)
        message_id = ids.message_id(conversation_id, user_id, client_message_id)
        key = await self._key(user_id)
        # No text holds NUL: the same words instead of another message are another request.
        digest = key.digest(content if edits is None else f"{content}\0{edits}")
        if (before := await self._sent.recently(message_id)) is not None:
            return _again(message_id, digest, before)
        if conversation.archived:
            # Perhaps it was restored a moment ago, through another process.
            self._access.forget_conversation(user_id, conversation_id)
            conversation = await self._writable(user_id, conversation_id)
        if conversation.archived:
            # The one who sends again what was taken before the conversation was archived gets the same reply.
            if (before := await self._sent.ever(message_id)) is not None:
                return _again(message_id, digest, before)
            raise Refused(ErrorCode.CONVERSATION_ARCHIVED)
        agent = await self._answering(conversation, agent_id)
        if agent is not None and (unpaid := await self._unpaid(conversation.project_id, user_id, agent)) is not None:
            # The one who sends again what was taken while there was credit gets the same reply.
            if (before := await self._sent.ever(message_id)) is not None:
                return _again(message_id, digest, before)
            raise unpaid
        waits = when_busy == "reject" or edits is not None
        command = events.SendMessage(
            conversation_id=conversation_id,
            project_id=conversation.project_id,
            user_id=user_id,
            role=conversation.role,
            ask=self._decisions.ask if waits else None,
            message_id=message_id,
            client_message_id=client_message_id,
            content=key.seal(message_id, content),
            digest=digest,
            agent=agent,
            when_busy=when_busy,
            edits=edits,
        )
        run_id = None if agent is None else ids.run_id(message_id)
        if waits:
            decision = await self._decided(ids.send_id(message_id, digest), command)
            await self._sent.remember(message_id, digest, decision.run_id)
            readable = await self._readable(conversation_id, decision.position)
            at = cursor(self._epoch, decision.position) if readable else None
            return Sent(message_id, decision.run_id, at)
        # Looked up while the broker works. What is found there has no other effect: the rule knows the id, too.
        ever = asyncio.create_task(self._sent.ever(message_id))
        try:
            await self._publish(ids.send_id(message_id, digest), command, on_its_way)
            if (before := await ever) is not None:
                return _again(message_id, digest, before)
        finally:
            ever.cancel()
        await self._sent.remember(message_id, digest, run_id)
        return Sent(message_id, run_id)

    async def regenerate(self, user_id: str, *, conversation_id: str, message_id: str, client_request_id: str) -> str:
        """Answer a question again (`message_id` is the question or one of its answers); returns the run's id.

        Raises:
            Refused: also `conversation_archived`, `insufficient_credits`, and `invalid` where no agent answers here.
        """
        conversation = await self._writable(user_id, conversation_id)
        agent = await self._answering(conversation, UNSET)
        if agent is None:
            raise invalid(conversation_id="no agent answers in this conversation")
        if (unpaid := await self._unpaid(conversation.project_id, user_id, agent)) is not None:
            raise unpaid
        run_id = ids.regenerated_run_id(message_id, client_request_id)
        command = events.RegenerateAnswer(
            conversation_id=conversation_id,
            project_id=conversation.project_id,
            user_id=user_id,
            role=conversation.role,
            ask=self._decisions.ask,
            message_id=message_id,
            client_request_id=client_request_id,
            run_id=run_id,
            agent=agent,
        )
        await self._decided(ids.regenerate_id(run_id), command)
        return run_id

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
        if (run_id is None) == (client_message_id is None):
            raise invalid(run_id="give either this or client_message_id")
        conversation = await self._writable(user_id, conversation_id)
        if run_id is None:
            assert client_message_id is not None
            run_id = ids.run_id(ids.message_id(conversation_id, user_id, client_message_id))
        command = events.CancelRun(
            conversation_id=conversation_id,
            project_id=conversation.project_id,
            user_id=user_id,
            role=conversation.role,
            ask=self._decisions.ask,
            run_id=run_id,
        )
        decision = await self._decided(ids.cancel_id(run_id, user_id), command)
        return decision.status or "cancelled"

    async def create(
        self,
        user_id: str,
        *,
        project_id: str,
        conversation_id: str | None = None,
        title: str | None = None,
        agent_id: str | UnsetType | None = UNSET,
    ) -> Changed:
        """Start a conversation.

        Args:
            agent_id: who answers in it; absent the project's default agent, None nobody.

        Raises:
            Refused: also `invalid`, and `idempotency_mismatch` where the id is another conversation's.
        """
        _check_title(title)
        role = _writer(project_id, await self._access.project_role(user_id, project_id))
        agent = await self._access.agent(project_id, agent_id)
        conversation_id = conversation_id or ids.new_id()
        command = events.CreateConversation(
            conversation_id=conversation_id,
            project_id=project_id,
            user_id=user_id,
            role=role,
            ask=self._decisions.ask,
            title=await self._sealed_title(user_id, conversation_id, title),
            agent_id=None if agent is None else agent.agent_id,
        )
        return await self._changed(user_id, ids.create_id(conversation_id, user_id), command)

    async def update(
        self,
        user_id: str,
        *,
        conversation_id: str,
        title: str | UnsetType | None = UNSET,
        archived: bool | UnsetType = UNSET,
        agent_id: str | UnsetType | None = UNSET,
        seen: int | None = None,
    ) -> Changed:
        """Rename, archive, restore, or let another agent answer. What is absent stays as it is.

        Args:
            seen: the position of the conversation as the caller knows it, where that is to be what changes.

        Raises:
            Refused: also `invalid` where nothing is given, and `precondition_failed`.
        """
        if title is UNSET and archived is UNSET and agent_id is UNSET:
            raise invalid(title="nothing to change: give a title, archived or an agent_id")
        if title is not UNSET:
            _check_title(title)
        conversation = await self._writable(user_id, conversation_id)
        if agent_id is not UNSET:
            agent = await self._access.agent(conversation.project_id, agent_id)
            agent_id = None if agent is None else agent.agent_id
        command = events.UpdateConversation(
            conversation_id=conversation_id,
            project_id=conversation.project_id,
            user_id=user_id,
            role=conversation.role,
            ask=self._decisions.ask,
            title=UNSET if title is UNSET else await self._sealed_title(user_id, conversation_id, title),
            archived=archived,
            agent_id=agent_id,
            seen=seen,
        )
        return await self._changed(user_id, ids.new_id(), command)

    async def delete(self, user_id: str, *, conversation_id: str) -> Changed:
        """Delete a conversation, for everybody; it can be restored until it is purged. Doing it again answers the
        same."""
        conversation = await self._access.conversation(user_id, conversation_id)
        command = events.DeleteConversation(
            conversation_id=conversation_id,
            project_id=conversation.project_id,
            user_id=user_id,
            role=_writer(conversation.project_id, conversation.role),
            ask=self._decisions.ask,
        )
        return await self._changed(user_id, ids.new_id(), command)

    async def restore(self, user_id: str, *, conversation_id: str) -> Changed:
        """Bring a deleted conversation back, as long as it is not purged. Doing it again answers the same."""
        conversation = await self._access.conversation(user_id, conversation_id)
        command = events.RestoreConversation(
            conversation_id=conversation_id,
            project_id=conversation.project_id,
            user_id=user_id,
            role=_writer(conversation.project_id, conversation.role),
            ask=self._decisions.ask,
        )
        return await self._changed(user_id, ids.new_id(), command)

    async def check_may_write(self, user_id: str, conversation_id: str) -> None:
        """Whether something may be said there now.

        Raises:
            Refused: also `conversation_archived`.
        """
        if (await self._writable(user_id, conversation_id)).archived:
            raise Refused(ErrorCode.CONVERSATION_ARCHIVED)

    # -- who may --

    async def _writable(self, user_id: str, conversation_id: str) -> ConversationAccess:
        conversation = await self._access.present_conversation(user_id, conversation_id)
        _writer(conversation.project_id, conversation.role)
        return conversation

    async def _answering(self, conversation: ConversationAccess, agent_id: str | UnsetType | None) -> AgentRef | None:
        """Who answers: the agent that was asked for, or the conversation's own."""
        try:
            return await self._access.agent(
                conversation.project_id, conversation.agent_id if agent_id is UNSET else agent_id
            )
        except Refused as refused:
            if agent_id is not UNSET or refused.code != ErrorCode.NOT_FOUND:
                raise
            raise invalid(agent_id="the agent of this conversation is gone: choose another one, or nobody") from None

    async def _unpaid(self, project_id: str, user_id: str, agent: AgentRef) -> Refused | None:
        """Why there is no money for an answer of this agent; None where there is, or where that is not known.

        A first look, so that whoever asks is told at once. What an answer needs is held before the agent is called, and
        that alone decides; so an absent PostgreSQL is no reason to refuse.
        """
        if agent.price is None:
            return None
        try:
            wallet = await postgres.within(CREDIT_S, ledger.wallet(self._pool, project_id))
            if wallet is None or wallet.balance_micros <= 0:
                return Refused(ErrorCode.INSUFFICIENT_CREDITS)
            budget = await postgres.within(CREDIT_S, budgets.used_up(self._pool, project_id, user_id, agent.agent_id))
        except postgres.AWAY:
            return None
        if budget is None:
            return None
        until = budget.ends_at.strftime("%Y-%m-%d %H:%M UTC")
        return Refused(
            ErrorCode.INSUFFICIENT_CREDITS,
            f"The budget of this {budget.period} is used up; the next one begins {until}.",
        )

    async def _key(self, user_id: str) -> DataKey:
        try:
            key = await self._keyring.key(user_id)
        except postgres.AWAY as error:
            raise Refused(ErrorCode.UNAVAILABLE) from error
        if key is None:
            raise Refused(ErrorCode.UNAUTHENTICATED)  # the person is deleted, their token not yet expired
        return key

    async def _sealed_title(self, user_id: str, conversation_id: str, title: str | None) -> str | None:
        return None if title is None else (await self._key(user_id)).seal(conversation_id, title)

    # -- onto the log, and what comes of it --

    async def _publish(
        self,
        command_id: str,
        command: events.ConversationCommand,
        on_its_way: Callable[[], None] | None = None,
    ) -> None:
        async def send() -> None:
            report = await self._publisher.enqueue(
                CONVERSATION_COMMANDS,
                command,
                key=command.conversation_id,
                id=command_id,
                traceparent=new_traceparent(),
            )
            if on_its_way is not None:
                on_its_way()
            await report

        began = time.perf_counter()
        sending = asyncio.ensure_future(send())
        # Not cancelled when its time is up: the producer still owns the batch, and may get it through.
        sending.add_done_callback(_heard)
        done, _ = await asyncio.wait([sending], timeout=PUBLISH_WITHIN_S)
        metrics.PUBLISH_SECONDS.observe(time.perf_counter() - began)
        if not done:
            raise Refused(ErrorCode.UNAVAILABLE)
        try:
            sending.result()
        except KafkaError as error:
            raise Refused(ErrorCode.UNAVAILABLE) from error

    async def _decided(self, command_id: str, command: events.Command) -> Decision:
        """Publish a command and wait until the conversation has decided it."""
        await self._decisions.ready()
        with self._decisions.expect(command_id) as decision:
            try:
                async with asyncio.timeout(DECIDE_WITHIN_S):
                    await self._publish(command_id, command)  # type: ignore[arg-type]  # a union of all commands
                    done, _ = await asyncio.wait([decision], timeout=ASK_AGAIN_S)
                    if not done:
                        await self._publish(command_id, command)  # type: ignore[arg-type]
                    made = await decision
            except TimeoutError as error:
                raise Refused(ErrorCode.UNAVAILABLE) from error
        if made.code is not None:
            raise Refused(ErrorCode(made.code))
        return made

    async def _changed(self, user_id: str, command_id: str, command: events.Command) -> Changed:
        decision = await self._decided(command_id, command)
        readable = await self._readable(command.conversation_id, decision.position)
        self._access.forget_conversation(user_id, command.conversation_id)
        return Changed(command.conversation_id, decision.position, readable)

    async def _readable(self, conversation_id: str, position: int) -> bool:
        async def look() -> bool:
            while True:
                if await history.position(self._pool, conversation_id) >= position:
                    return True
                await asyncio.sleep(_POLL_S)

        try:
            return await postgres.within(HISTORY_WITHIN_S, look())
        except postgres.AWAY:  # the time-out is one of them
            return False


def _heard(sending: "asyncio.Future[None]") -> None:
    # A report that comes too late changes nothing: the client was told that nobody knows.
    if not sending.cancelled():
        sending.exception()


def _again(message_id: str, digest: str, before: Before) -> Sent:
    if before.code is not None:
        raise Refused(ErrorCode(before.code))
    if before.digest != digest:
        raise Refused(ErrorCode.IDEMPOTENCY_MISMATCH)
    return Sent(message_id, before.run_id)


def _writer(project_id: str, role: str) -> str:
    if not may(role, Action.WRITE):
        raise Forbidden(project_id, Action.WRITE)
    return role


def _check_content(content: str) -> None:
    if not content:
        raise invalid(content="empty")
    if len(content) > MAX_CONTENT_CHARACTERS:
        raise Refused(
            ErrorCode.TOO_LARGE,
            f"The content has {len(content)} characters; {MAX_CONTENT_CHARACTERS} are allowed.",
            fields={"content": f"more than {MAX_CONTENT_CHARACTERS} characters"},
        )
    if _NOT_TEXT.search(content):
        raise invalid(content="not text: it holds NUL or half of a surrogate pair")


def _check_title(title: str | None) -> None:
    if title is None:
        return
    if len(title) > MAX_TITLE_CHARACTERS:
        raise invalid(title=f"more than {MAX_TITLE_CHARACTERS} characters")
    if _NOT_TEXT.search(title):
        raise invalid(title="not text: it holds NUL or half of a surrogate pair")
