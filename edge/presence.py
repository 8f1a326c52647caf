"""Presence and typing across gateways: carries out what `edge.rosters` decides, over `infra.presence`.

Nothing here holds up a command: while Redis is away nobody is told, and what changed meanwhile is told when it is back.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from edge import metrics
from edge.followers import Told
from edge.rosters import Change, Here, Place, Roster, Shown
from edge.settings import PresenceSettings
from infra import presence, redis
from infra.presence import Entry, PresenceMessage, TypingMessage
from schemas import frames

log = structlog.get_logger(__name__)

TELL_S: Final = 0.25
"""Seconds in which changes gather: whoever flickers faster is told once."""
_BEATS_OF_A_LEASE: Final = 3
"""One beat may be late, and one lost."""
_MISSED: Final = 3
"""Beats in which a gateway must be missing before its people are gone: all gateways beat within them, so after a flush
nobody is believed dead. So the people of a killed gateway are gone within two leases."""
AGAIN_S: Final = 3600.0
"""Seconds between two tellings of everything, so that what Redis dropped by itself comes back."""
TYPING_EVERY_S: Final = 3.0
"""Seconds in which a person's typing in a conversation is told once."""
TYPING_SHOWN_S: Final = 6.0
"""Seconds that typing is shown when nothing more comes: two tellings, so that one may be lost."""
_AWAY_RETRY_S: Final = 1.0
_AT_ONCE: Final = 500
"""Changes, or conversations, in one round trip: a millisecond or two of Redis' time."""

_AWAY: Final = (*redis.AWAY, RedisError)

Say = Callable[[str, Sequence[Told]], None]


class Presence:
    """Who is present in the conversations that are watched here.

    Args:
        gateway: this process' name, another one at each start.
        say: tells the followers of a conversation.
    """

    def __init__(self, cache: Redis, settings: PresenceSettings, gateway: str, say: Say) -> None:
        self._redis = cache
        self._settings = settings
        self._gateway = gateway
        self._say = say
        self._here = Here(settings.linger_s, time.monotonic())
        self._rosters: dict[str, Roster] = {}
        self._untold: dict[Place, Change] = {}
        """What Redis does not know yet, the newest of each person in each conversation."""
        self._turned: dict[Place, bool] = {}
        """The same of who has just closed their last window, and of who came back."""
        self._missed: dict[str, int] = {}
        """Gateways that were heard of, and in how many beats they have been missing since."""
        self._typed: dict[Place, float] = {}
        self._meanwhile: dict[str, list[PresenceMessage]] = {}
        """What is told of conversations that are being read again."""
        self._beaten = False
        """Whether this gateway counts as alive: before that, what it tells would be taken for a dead one's."""
        self._read_again_at = 0.0
        self._tell_again_at = time.monotonic() + AGAIN_S
        self._stale = False
        """Whether changes may have gone unheard."""

    # -- watched conversations --

    async def open(self, conversation_id: str) -> None:
        """Someone here begins to watch. What is told from before this call on must come to `heard` after it."""
        roster = self._rosters[conversation_id] = Roster()
        try:
            found = await self._living(*await presence.read(self._redis, [conversation_id]))
        except _AWAY:
            self._lost_touch()
        else:
            roster.replaced(found[conversation_id])

    def close(self, conversation_id: str) -> None:
        """Nobody here watches any more."""
        self._rosters.pop(conversation_id, None)

    def present(self, conversation_id: str, but: str) -> list[frames.Present]:
        """Who is there, but for this person."""
        roster = self._rosters.get(conversation_id)
        return [] if roster is None else roster.present(but)

    def watching(self) -> None:
        """Channels came back: what was told meanwhile was not heard."""
        self._lost_touch()

    def heard(self, conversation_id: str, message: PresenceMessage | TypingMessage) -> list[Told]:
        """What the followers are told when a gateway says something."""
        if isinstance(message, TypingMessage):
            push = frames.TypingPush(
                conversation_id=conversation_id, user_id=message.user_id, expires_in_ms=round(TYPING_SHOWN_S * 1000)
            )
            return [Told(msgspec.json.encode(push), but=message.user_id)]
        self._missed.setdefault(message.gateway, 0)
        if (meanwhile := self._meanwhile.get(conversation_id)) is not None:
            meanwhile.append(message)
        roster = self._rosters.get(conversation_id)
        if roster is None:
            return []
        return _pushes(
            conversation_id, roster.told(message.gateway, message.user_id, message.status, message.last_seen)
        )

    # -- our own people --

    def look(self, conversation_id: str, user_id: str, window: object, *, away: bool) -> None:
        """A window of this person's looks at a conversation, or looks differently now."""
        self._here.look((conversation_id, user_id), window, away=away)
        metrics.PRESENT.set(len(self._here))

    def leave(self, conversation_id: str, user_id: str, window: object) -> None:
        """It looks no more; it need not have looked."""
        self._here.leave((conversation_id, user_id), window, time.monotonic())

    async def typing(self, conversation_id: str, user_id: str) -> None:
        """Tell the others that this person writes, if that was not told a moment ago."""
        now = time.monotonic()
        place = (conversation_id, user_id)
        if now < self._typed.get(place, -TYPING_EVERY_S) + TYPING_EVERY_S:
            return
        self._typed[place] = now
        with contextlib.suppress(*_AWAY):
            await presence.tell_typing(self._redis, conversation_id, user_id)

    # -- what is done again and again --

    async def run(self) -> None:
        """Beat, tell and read again until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            # Beats do not wait for a crowd to be told: a gateway without them is dead.
            tasks.create_task(_again_and_again(self._beat, self._settings.lease_s / _BEATS_OF_A_LEASE))
            tasks.create_task(_again_and_again(self._turn, TELL_S))

    async def _turn(self) -> None:
        now = time.monotonic()
        self._take(self._here.take(now))
        metrics.PRESENT.set(len(self._here))
        if now >= self._tell_again_at:
            self._tell_again_at = now + AGAIN_S
            self._take(self._here.everyone())
        self._turned |= self._here.turned()
        if self._beaten:
            # First: whoever is gone after that is forgotten altogether.
            await presence.turn(self._redis, self._gateway, self._turned)
            self._turned = {}
            await self._tell(now)
        if self._stale and now >= self._read_again_at:
            self._stale = False
            await self._read_again()
        self._typed = {place: at for place, at in self._typed.items() if at > now - TYPING_EVERY_S}

    def _take(self, changes: Iterable[Change]) -> None:
        self._untold |= {(change.conversation_id, change.user_id): change for change in changes}

    async def _tell(self, now: float) -> None:
        while self._untold:
            part = list(self._untold.values())[:_AT_ONCE]
            await presence.tell(self._redis, [(c.conversation_id, self._message(c, now)) for c in part])
            for change in part:
                place = (change.conversation_id, change.user_id)
                if self._untold.get(place) is change:
                    del self._untold[place]
            metrics.PRESENCE_TOLD.inc(len(part))

    def _message(self, change: Change, now: float) -> PresenceMessage:
        seen = None if change.left is None else datetime.now(UTC) - timedelta(seconds=now - change.left)
        return PresenceMessage(gateway=self._gateway, user_id=change.user_id, status=change.status, last_seen=seen)

    # -- other gateways --

    async def _beat(self) -> None:
        beat = await presence.beat(self._redis, self._gateway, self._settings.lease_s)
        self._beaten = True
        if not beat.known:
            # Redis lost everything, or this process stood still: then others may be missing for the same reason.
            self._take(self._here.everyone())
            self._missed = dict.fromkeys(self._missed, 0)
        for gateway in beat.alive:
            self._missed[gateway] = -1
        self._missed = {gateway: missed + 1 for gateway, missed in self._missed.items()}
        if dead := {gateway for gateway, missed in self._missed.items() if missed >= _MISSED}:
            await self._bury(dead)

    async def _bury(self, dead: set[str]) -> None:
        log.info("gateways are gone", gateways=sorted(dead))
        seen = datetime.now(UTC) - timedelta(seconds=2 * self._settings.lease_s)
        left: dict[str, list[Entry]] = {}
        for conversation_id, roster in self._rosters.items():
            entries, shown = roster.without(dead, seen)
            if entries:
                left[conversation_id] = entries
                self._say(conversation_id, _pushes(conversation_id, shown))
        for gateway in dead:
            del self._missed[gateway]
        await self._forget(left)

    async def _forget(self, left: dict[str, list[Entry]]) -> None:
        conversation_ids = list(left)
        for first in range(0, len(conversation_ids), _AT_ONCE):
            some = conversation_ids[first : first + _AT_ONCE]
            await presence.forget(self._redis, {c: left[c] for c in some})

    async def _living(self, alive: frozenset[str], found: dict[str, list[Entry]]) -> dict[str, list[Entry]]:
        """The entries that count; those of gateways that nobody has heard of for long are removed from Redis."""
        known = alive | self._missed.keys()
        gone = {c: [e for e in entries if e.gateway not in known] for c, entries in found.items()}
        await self._forget({c: entries for c, entries in gone.items() if entries})
        living = {c: [e for e in entries if e.gateway in known] for c, entries in found.items()}
        for gateway in {e.gateway for entries in living.values() for e in entries}:
            self._missed.setdefault(gateway, 0)  # so that it is found out if it died
        return living

    # -- after silence --

    def _lost_touch(self) -> None:
        # Not at once: those who must tell again first, after a flush, have this long to do it.
        if not self._stale:
            self._stale = True
            self._read_again_at = time.monotonic() + 2 * self._settings.lease_s

    async def _read_again(self) -> None:
        watched = list(self._rosters)
        for first in range(0, len(watched), _AT_ONCE):
            some = watched[first : first + _AT_ONCE]
            self._meanwhile = {conversation_id: [] for conversation_id in some}
            try:
                found = await self._living(*await presence.read(self._redis, some))
            except _AWAY:
                self._lost_touch()
                raise
            finally:
                meanwhile, self._meanwhile = self._meanwhile, {}
            for conversation_id, entries in found.items():
                roster = self._rosters.get(conversation_id)
                if roster is None:
                    continue
                shown = roster.replaced(entries)
                for m in meanwhile[conversation_id]:
                    shown += roster.told(m.gateway, m.user_id, m.status, m.last_seen)
                self._say(conversation_id, _pushes(conversation_id, shown))


async def _again_and_again(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        try:
            await work()
            wait_s = pause_s
        except _AWAY as error:
            log.warning("presence not told: redis is away", error=repr(error))
            wait_s = max(pause_s, _AWAY_RETRY_S)
        await asyncio.sleep(wait_s)


def _pushes(conversation_id: str, shown: Iterable[Shown]) -> list[Told]:
    return [
        Told(
            msgspec.json.encode(
                frames.PresencePush(
                    conversation_id=conversation_id, user_id=s.user_id, status=s.status, last_seen=s.last_seen
                )
            ),
            but=s.user_id,
        )
        for s in shown
    ]
