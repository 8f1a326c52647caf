"""The states of our partitions' conversations: in memory, else from history and from the facts that it lacks."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Set
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from infra import postgres
from infra.kafka import end_offsets, read_partition
from infra.keyring import Keyring
from infra.patience import patiently
from infra.settings import KafkaSettings
from schemas import events
from schemas.contract import InvalidRecord
from schemas.topics import CONVERSATION_EVENTS
from streams.rules import context
from streams.rules.state import State, fold
from streams.workers.stored import history_offsets, load_state, load_texts
from streams.workers.tail import MAX_RECORDS, Tail
from streams.workers.warm import Warm

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger(__name__)

_KAFKA_AWAY = (KafkaError, OSError)

_loaded = Counter("chorus_conversations_loaded_total", "Conversations loaded because they were not in memory")


class LogCutBack(RuntimeError):
    """History has stored more of a partition than there is."""


class States:
    """Knows every conversation of the partitions that are open, without ever waiting for history.

    A conversation in memory needs nothing else. To load another one waits for PostgreSQL, where it is away.

    Args:
        topic_id: Kafka's own id of conversation-events, to which history's offsets belong.
        max_bytes: for conversations in memory, roughly.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        pool: "asyncpg.Pool[asyncpg.Record]",
        keyring: Keyring,
        topic_id: str,
        max_bytes: int,
    ) -> None:
        self._kafka = kafka
        self._pool = pool
        self._keyring = keyring
        self._topic_id = topic_id
        self._tail = Tail()
        self._warm = Warm(max_bytes)

    async def open(self, partitions: Set[int]) -> Mapping[int, int]:
        """Read what history lacks of these partitions; the offset at which each of them ends.

        Raises:
            LogCutBack: see there.
        """
        stored = await self._history_offsets()
        ends = await patiently(
            "Kafka", _KAFKA_AWAY, lambda: end_offsets(self._kafka, CONVERSATION_EVENTS.topic, set(partitions))
        )
        for partition, end in ends.items():
            if stored.get(partition, 0) > end:
                raise LogCutBack(
                    f"history has stored {CONVERSATION_EVENTS.topic} partition {partition} up to offset "
                    f"{stored[partition]}, but the partition ends at {end}: its log was cut back. Restore the log, or "
                    "rebuild history from the log as it is (chorus replay history)."
                )
        async with asyncio.TaskGroup() as group:
            for partition, end in ends.items():
                group.create_task(self._read_tail(partition, max(stored.get(partition, 0), end - MAX_RECORDS), end))
        return ends

    def close(self) -> None:
        """Forget everything: whoever has the partitions next may write to them."""
        self._tail.clear()
        self._warm.clear()

    async def get(self, partition: int, conversation_id: str) -> State | None:
        """The conversation as it is, to be kept in memory; None where nothing was ever written.

        Only for whoever handles the conversation's commands, one after the other.
        """
        state = self._warm.get(conversation_id)
        if state is None:
            state = await self._load(partition, conversation_id)
            if state is not None:
                self._warm.put(state)
        return state

    async def look_at(self, partition: int, conversation_id: str) -> State | None:
        """The conversation as it is or was a moment ago; what is not in memory stays out of it."""
        return self._warm.get(conversation_id) or await self._load(partition, conversation_id)

    def remember(self, partition: int, offset: int, state: State | None, record: events.ConversationAdvanced) -> State:
        """The state after the conversation's next record, which was written at this offset."""
        self._tail.add(partition, offset, record)
        state = fold(state, record)
        context.forget_texts(state)
        self._warm.put(state)
        return state

    async def complete(self, partition: int, state: State, run_id: str) -> None:
        """Get the texts that this run's request needs."""
        if missing := context.missing(state, run_id):
            await self._fetch_texts(partition, state, missing)

    async def follow_history(self) -> None:
        """Let go of the facts that history has stored meanwhile. Raises one of `infra.postgres.AWAY`."""
        for partition, offset in (await history_offsets(self._pool, self._topic_id)).items():
            self._tail.forget(partition, offset)

    @property
    def warm(self) -> Iterator[State]:
        """The conversations in memory."""
        return iter(self._warm)

    @property
    def tail_bytes(self) -> int:
        return self._tail.size

    async def _load(self, partition: int, conversation_id: str) -> State | None:
        # Before history is asked: what it stores meanwhile may be forgotten here.
        recent, start = self._tail.of(conversation_id), self._tail.start(partition)
        state: State | None = None
        if not recent or recent[0].position != 1:
            stored = await patiently(
                "PostgreSQL",
                postgres.AWAY,
                lambda: load_state(self._pool, self._topic_id, partition, conversation_id),
            )
            state = stored.state
            recent = await self._between(partition, conversation_id, stored.next_offset, start) + recent
        for record in recent:
            # The first record of a position counts; it may also be stored already.
            if record.position > (0 if state is None else state.view.position):
                state = fold(state, record)
        if state is not None:
            context.forget_texts(state)
            if missing := [m for m in context.at_hand(state) if m not in state.texts]:
                await self._fetch_texts(partition, state, missing)
        _loaded.inc()
        return state

    async def _fetch_texts(self, partition: int, state: State, message_ids: Iterable[str]) -> None:
        """Get texts that the state has let go, or never had: from the facts as they are, from history sealed anew."""
        conversation_id = state.view.conversation_id
        recent, start = self._tail.of(conversation_id), self._tail.start(partition)
        missing = set(message_ids)
        missing -= _take_texts(state, missing, recent)
        if not missing:
            return
        stored_until = (await self._history_offsets()).get(partition, 0)
        plain = await patiently("PostgreSQL", postgres.AWAY, lambda: load_texts(self._pool, missing))
        owners = {message_id: state.messages[message_id].owner_id for message_id in plain}
        keys = await patiently("PostgreSQL", postgres.AWAY, lambda: self._keyring.keys(owners.values()))
        for message_id, text in plain.items():
            key = keys[owners[message_id]]
            state.texts[message_id] = None if text is None or key is None else key.seal(message_id, text)
        if missing := missing - plain.keys():
            facts = await self._between(partition, conversation_id, stored_until, start)
            for lost in missing - _take_texts(state, missing, facts):
                log.error("the text of a message is nowhere", conversation_id=conversation_id, message_id=lost)
                state.texts[lost] = None

    async def _history_offsets(self) -> dict[int, int]:
        return await patiently("PostgreSQL", postgres.AWAY, lambda: history_offsets(self._pool, self._topic_id))

    async def _read_tail(self, partition: int, start: int, end: int) -> None:
        async def read() -> None:
            self._tail.open(partition, start)
            async for offset, record in self._log(partition, start, end):
                self._tail.add(partition, offset, record)

        await patiently("Kafka", _KAFKA_AWAY, read)

    async def _between(
        self, partition: int, conversation_id: str, start: int, end: int
    ) -> list[events.ConversationAdvanced]:
        """The conversation's facts that were let go before history had stored them."""

        async def read() -> list[events.ConversationAdvanced]:
            return [r async for _, r in self._log(partition, start, end) if r.conversation_id == conversation_id]

        if start >= end:
            return []
        log.warning("history is far behind: reading facts again", partition=partition, records=end - start)
        return await patiently("Kafka", _KAFKA_AWAY, read)

    async def _log(
        self, partition: int, start: int, end: int
    ) -> AsyncIterator[tuple[int, events.ConversationAdvanced]]:
        async for record in read_partition(self._kafka, CONVERSATION_EVENTS.topic, partition, start, end):
            try:
                event, _ = CONVERSATION_EVENTS.decode(record.value, record.headers)
            except InvalidRecord as error:
                log.warning("unreadable fact skipped", partition=partition, offset=record.offset, error=str(error))
                continue
            yield record.offset, event


def _take_texts(state: State, wanted: Set[str], records: Iterable[events.ConversationAdvanced]) -> Set[str]:
    """Put the sealed texts of wanted messages into the state; says which were there."""
    found = {
        fact.message_id: fact.content
        for record in records
        for fact in record.facts
        if isinstance(fact, events.MessagePosted) and fact.message_id in wanted
    }
    state.texts |= found
    return found.keys()
