"""Who looks at which conversation, and who types there: what gateways tell each other through Redis.

A hash for each conversation holds an entry for each gateway and person there. An entry counts for as long as its
gateway lives, and a gateway lives for as long as it keeps its place in one sorted set: so staying costs a beat for each
gateway, and nothing for each person. Everything here can be lost; a gateway whose place is gone tells everything again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from infra.deltas import conversation_channel
from schemas.frames import PresenceStatus

_KEPT_S: Final = 3 * 60 * 60
"""Seconds that a conversation's hash outlives the last change in it. Gateways tell everything again more often."""
_LEAVING_S: Final = 60
"""Seconds that a conversation's second hash outlives the last change in it: longer than anybody lingers."""
_GATEWAYS: Final = "gateways"
"""Sorted set: gateways by the end of their lease, in seconds of Redis' own clock."""


class PresenceMessage(Struct, frozen=True, kw_only=True, tag_field="kind", tag="presence", omit_defaults=True):
    """Someone came, went, or looked away, as far as one gateway knows; on the conversation's channel.

    Attributes:
        last_seen: of those who went: when they were last there.
    """

    gateway: str
    user_id: str
    status: PresenceStatus
    last_seen: datetime | None = None


class TypingMessage(Struct, frozen=True, kw_only=True, tag_field="kind", tag="typing"):
    """Someone is writing; on the conversation's channel."""

    user_id: str


class Entry(NamedTuple):
    """What one gateway says of one person in one conversation; never `offline`."""

    gateway: str
    user_id: str
    status: PresenceStatus


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a beat.

    Attributes:
        known: whether this gateway still had its place. If not, what it had told may be lost.
        alive: every gateway that lives, this one among them.
    """

    known: bool
    alive: frozenset[str]


def presence_key(conversation_id: str) -> str:
    """Hash: `gateway/user` → status."""
    return f"presence:{conversation_id}"


def leaving_key(conversation_id: str) -> str:
    """Hash: `gateway/user` → 1, of those whose last window there closed a moment ago. They are still shown."""
    return f"leaving:{conversation_id}"


# KEYS: gateways. ARGV: this gateway, seconds of its lease. Redis' clock is the only one, so nobody's can be wrong.
_BEAT: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return {known, redis.call('ZRANGE', KEYS[1], 0, -1)}
"""

# KEYS: gateways, then two hashes for each conversation.
_LOOKING: Final = """
local found = {redis.call('ZRANGE', KEYS[1], 0, -1)}
for i = 2, #KEYS, 2 do
    found[i] = redis.call('HGETALL', KEYS[i])
    found[i + 1] = redis.call('HKEYS', KEYS[i + 1])
end
return found
"""

# KEYS: gateways, hashes. Who is alive and who is there are of one moment.
_READ: Final = """
local found = {redis.call('ZRANGE', KEYS[1], 0, -1)}
for i = 2, #KEYS do found[i] = redis.call('HGETALL', KEYS[i]) end
return found
"""


async def beat(redis: Redis, gateway: str, lease_s: float) -> Beat:
    """Keep this gateway's place for so many seconds more.

    Raises:
        one of `infra.redis.AWAY`.
    """
    known, alive = await redis.eval(_BEAT, 1, _GATEWAYS, gateway, lease_s)
    return Beat(bool(known), frozenset(name.decode() for name in alive))


async def tell(redis: Redis, changes: Sequence[tuple[str, PresenceMessage]]) -> None:
    """Write changes down and tell them to whoever watches: one round trip. Doing it again changes nothing.

    Args:
        changes: conversation and change.

    Raises:
        redis.exceptions.RedisError: any of it may or may not have been told.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        for conversation_id, change in changes:
            key, field = presence_key(conversation_id), f"{change.gateway}/{change.user_id}"
            if change.status == "offline":
                pipeline.hdel(key, field)
                pipeline.hdel(leaving_key(conversation_id), field)
            else:
                pipeline.hset(key, field, change.status)
                pipeline.expire(key, _KEPT_S)
            pipeline.publish(conversation_channel(conversation_id), msgspec.json.encode(change))
        await pipeline.execute()


async def turn(redis: Redis, gateway: str, turned: Mapping[tuple[str, str], bool]) -> None:
    """Note who closed their last window here, or came back to one; nobody is told.

    Args:
        turned: by conversation and person; true for those who closed it.

    Raises:
        redis.exceptions.RedisError: any of it may or may not have been noted; doing it again changes nothing.
    """
    if not turned:
        return
    async with redis.pipeline(transaction=False) as pipeline:
        for (conversation_id, user_id), closed in turned.items():
            key, field = leaving_key(conversation_id), f"{gateway}/{user_id}"
            if closed:
                pipeline.hset(key, field, 1)
                pipeline.expire(key, _LEAVING_S)
            else:
                pipeline.hdel(key, field)
        await pipeline.execute()


async def looking(redis: Redis, conversation_ids: Sequence[str]) -> dict[str, set[str]]:
    """Who looks at each of these conversations now: has a window of it in front of them, through a living gateway.

    Raises:
        one of `infra.redis.AWAY`.
    """
    if not conversation_ids:
        return {}
    keys = [key for id in conversation_ids for key in (presence_key(id), leaving_key(id))]
    alive, *hashes = await redis.eval(_LOOKING, 1 + len(keys), _GATEWAYS, *keys)
    gateways = {name.decode() for name in alive}
    found = {}
    for conversation_id, pairs, left in zip(conversation_ids, hashes[::2], hashes[1::2], strict=True):
        leaving = {field.decode() for field in left}
        found[conversation_id] = {
            entry.user_id
            for entry in _entries(pairs)
            if entry.status == "online" and entry.gateway in gateways and "/".join(entry[:2]) not in leaving
        }
    return found


async def tell_typing(redis: Redis, conversation_id: str, user_id: str) -> None:
    """Say once that someone is writing.

    Raises:
        redis.exceptions.RedisError: it may not have been told.
    """
    await redis.publish(conversation_channel(conversation_id), msgspec.json.encode(TypingMessage(user_id=user_id)))


async def read(redis: Redis, conversation_ids: Sequence[str]) -> tuple[frozenset[str], dict[str, list[Entry]]]:
    """The gateways that live, and every entry of these conversations, those of dead gateways among them.

    Raises:
        one of `infra.redis.AWAY`.
    """
    keys = [_GATEWAYS, *map(presence_key, conversation_ids)]
    alive, *hashes = await redis.eval(_READ, len(keys), *keys)
    found = {c: _entries(pairs) for c, pairs in zip(conversation_ids, hashes, strict=True)}
    return frozenset(name.decode() for name in alive), found


def _entries(pairs: list[Any]) -> list[Entry]:
    entries = []
    for field, status in zip(pairs[::2], pairs[1::2], strict=True):
        gateway, _, user_id = field.decode().partition("/")
        entries.append(Entry(gateway, user_id, status.decode()))
    return entries


async def forget(redis: Redis, entries: Mapping[str, Sequence[Entry]]) -> None:
    """Remove entries of dead gateways, by conversation; nobody is told.

    Raises:
        one of `infra.redis.AWAY`.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        for conversation_id, gone in entries.items():
            pipeline.hdel(presence_key(conversation_id), *(f"{e.gateway}/{e.user_id}" for e in gone))
        await pipeline.execute()
