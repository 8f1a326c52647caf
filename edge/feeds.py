"""The watched conversations of this process: fills the feeds from Redis' channels, and holes in them from the past.

What the feeds decide is pure (`edge.subscriptions`); this does what they ask for, and hands what they tell to their
followers' connections.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from edge import metrics
from edge.errors import Refused
from edge.fanout import Fanout
from edge.followers import Follower, Telling
from edge.past import CannotResume, Past
from edge.presence import Presence
from edge.pushes import cursor, position_in
from edge.subscriptions import Feed, Need, NeedDeltas, join
from infra import history, postgres, redis
from infra.deltas import DeltaMessage, conversation_channel
from infra.live import LiveRecord, decode_live, read_tops
from infra.patience import patiently
from schemas import frames, shown
from schemas.conversation import ConversationView
from schemas.frames import CloseCode

log = structlog.get_logger(__name__)

_TOPS_AT_ONCE: Final = 200
"""Conversations in one question for tops: a few milliseconds of work, so that what is live does not wait for it."""
_MOST_JOINING: Final = 5_000
"""Tellings kept for one who is joining; reading the past takes milliseconds, so this many mean that it hangs."""
_GATHER_RECHECKS_S: Final = 0.05
"""Seconds in which channels that come back together are waited for, to look at all of them at once."""


class Feeds:
    """All feeds of this process, by conversation.

    Args:
        check_s: seconds between two comparisons of every feed with the newest position.
    """

    def __init__(
        self,
        channels: Fanout,
        past: Past,
        redis: Redis,
        pool: "asyncpg.Pool[asyncpg.Record]",
        presence: Presence,
        *,
        check_s: float,
    ) -> None:
        self._channels = channels
        self._past = past
        self._redis = redis
        self._pool = pool
        self._presence = presence
        self._check_s = check_s
        self._feeds: dict[str, Feed] = {}
        self._opening: dict[str, asyncio.Task[Feed]] = {}
        self._unheard: dict[str, list[bytes]] = {}
        """What comes on the channel of a feed that is being opened."""
        self._recheck = asyncio.Event()
        self._meeting: set[asyncio.Task[None]] = set()

    # -- followers --

    async def follow(
        self, conversation_id: str, follower: Follower, at: str | None, named: Mapping[str, frames.RunCursor]
    ) -> frames.SubscribeReply:
        """Let a follower join; it is told nothing before `go_live`, and from then on everything after the reply.

        Args:
            at: the cursor up to which the client has everything.
            named: how far it got in runs.

        Raises:
            Refused: `not_found`, `unavailable`.
        """
        while True:
            feed = await self._feed(conversation_id)
            after = position_in(at, feed.epoch)
            if after is not None and after > feed.position:
                # Another process told this client of more than has come here.
                await self._catch_up(feed, after)
            if self._feeds.get(conversation_id) is feed:  # else its last follower left in this very moment
                break
        if after is not None and after > feed.position:
            after = None
        runs = join(feed, follower, named)
        upto, state = feed.position, shown.conversation(feed.view)
        metrics.WATCHED.set(len(self._feeds))
        try:
            missed = await self._past.missed(conversation_id, follower.user_id, after=after, upto=upto, named=named)
        except BaseException:
            self.unfollow(conversation_id, follower)
            raise
        self.look(conversation_id, follower)
        if at is not None:
            metrics.RESUMES.labels("recovered" if missed.recovered else "anew").inc()
        return frames.SubscribeReply(
            cursor=cursor(feed.epoch, upto),
            recovered=missed.recovered,
            state=state,
            messages=missed.messages,
            runs=[*missed.runs, *runs],
            rejected=missed.rejected,
            present=self._presence.present(conversation_id, follower.user_id),
        )

    def look(self, conversation_id: str, follower: Follower) -> None:
        """The follower's person looks at the conversation, or away from it."""
        self._presence.look(conversation_id, follower.user_id, follower, away=follower.owner.away)

    def go_live(self, follower: Follower) -> None:
        """The reply is written: tell what came since, and go on live."""
        joining, follower.joining = follower.joining, None
        for telling in joining or ():
            self._write(follower, telling)

    def unfollow(self, conversation_id: str, follower: Follower) -> None:
        """Tell this follower no more; it need not have joined."""
        self._presence.leave(conversation_id, follower.user_id, follower)
        feed = self._feeds.get(conversation_id)
        if feed is None:
            return
        feed.followers.discard(follower)
        if not feed.followers:
            del self._feeds[conversation_id]
            self._presence.close(conversation_id)
            self._channels.forget(conversation_channel(conversation_id))
            metrics.WATCHED.set(len(self._feeds))

    def project_of(self, conversation_id: str) -> str | None:
        """The project of a conversation that is followed here; None for another one."""
        feed = self._feeds.get(conversation_id)
        return None if feed is None else feed.view.project_id

    def gathered(self, conversation_id: str, follower: Follower) -> list[bytes]:
        """The deltas that were left for later while the connection was slow."""
        feed = self._feeds.get(conversation_id)
        return [] if feed is None or follower.joining is not None else follower.gathered(feed.texts)

    # -- opening --

    async def _feed(self, conversation_id: str) -> Feed:
        feed = self._feeds.get(conversation_id)
        if feed is not None:
            return feed
        opening = self._opening.get(conversation_id)
        if opening is None:
            opening = self._opening[conversation_id] = asyncio.create_task(self._open(conversation_id))
        return await asyncio.shield(opening)

    async def _open(self, conversation_id: str) -> Feed:
        # What is told from the confirmation on is kept, so that the state read after it has no hole behind it.
        unheard = self._unheard[conversation_id] = []
        channel = conversation_channel(conversation_id)
        opened = False
        try:
            await self._channels.watch(channel)
            await self._presence.open(conversation_id)
            epoch, view = await self._past.newest(conversation_id)
            feed = Feed(epoch, view)
            for need in feed.opened():
                if isinstance(need, NeedDeltas):
                    feed.deltas_read(need, await self._past.deltas(need.run_id, need.attempt, need.after_seq))
            opened = True
        finally:
            del self._unheard[conversation_id], self._opening[conversation_id]
            if not opened:
                self._presence.close(conversation_id)
                self._channels.forget(channel)
        self._feeds[conversation_id] = feed
        for message in unheard:
            self._into(feed, message)
        return feed

    # -- what comes --

    def heard(self, conversation_id: str, message: bytes) -> None:
        """A message on a conversation's channel."""
        feed = self._feeds.get(conversation_id)
        if feed is not None:
            self._into(feed, message)
        elif (unheard := self._unheard.get(conversation_id)) is not None:
            unheard.append(message)

    def watching(self, conversation_id: str) -> None:
        """The channel is confirmed. Where a feed is there already, it was away for a while."""
        if conversation_id in self._feeds:
            self._recheck.set()
            self._presence.watching()

    def _into(self, feed: Feed, message: bytes) -> None:
        live = decode_live(message)
        if isinstance(live, DeltaMessage):
            self._say(feed, feed.delta(live))
        elif not isinstance(live, LiveRecord):
            self._say(feed, self._presence.heard(feed.view.conversation_id, live))
        elif live.epoch != feed.epoch:
            self._end(feed)
        else:
            self._say(feed, feed.record(live))
            metrics.FANOUT_SECONDS.observe((datetime.now(UTC) - live.record.at).total_seconds())

    def tell(self, conversation_id: str, tellings: Sequence[Telling]) -> None:
        """Tell the followers of a conversation something that did not come on its channel."""
        if (feed := self._feeds.get(conversation_id)) is not None:
            self._say(feed, tellings)

    def _say(self, feed: Feed, said: Sequence[Telling | Need]) -> None:
        for one in said:
            if isinstance(one, Need):
                meeting = asyncio.create_task(self._meet(feed, one))
                self._meeting.add(meeting)
                meeting.add_done_callback(self._meeting.discard)
                continue
            for follower in list(feed.followers):
                if follower.joining is None:
                    self._write(follower, one)
                elif len(follower.joining) < _MOST_JOINING:
                    follower.joining.append(one)
                else:
                    follower.owner.close(CloseCode.TOO_SLOW)

    @staticmethod
    def _write(follower: Follower, telling: Telling) -> None:
        owner = follower.owner
        for data in follower.take(telling, owner.slow):
            owner.write(data)

    def _end(self, feed: Feed) -> None:
        """The log was made anew, or too much was missed."""
        for follower in list(feed.followers):
            follower.owner.close(CloseCode.CANNOT_RESUME)
            self.unfollow(feed.view.conversation_id, follower)

    # -- what is missing --

    async def _meet(self, feed: Feed, need: Need) -> None:
        if isinstance(need, NeedDeltas):
            texts = await self._past.deltas(need.run_id, need.attempt, need.after_seq)
            self._say(feed, feed.deltas_read(need, texts))
            return
        metrics.CATCH_UPS.inc()
        try:
            after, found = await patiently("history", (Refused, *postgres.AWAY), lambda: self._since(feed))
        except CannotResume:
            self._end(feed)
        else:
            self._say(feed, feed.caught_up(after, found))

    async def _since(self, feed: Feed, reaching: int = 0) -> tuple[int, Sequence[LiveRecord | ConversationView]]:
        """Where the feed was when it was asked for, and what was found after that."""
        after = feed.position
        if self._feeds.get(feed.view.conversation_id) is not feed:
            return after, []
        return after, await self._past.since(
            feed.view.conversation_id,
            feed.epoch,
            after,
            open_runs=feed.view.runs,
            user_ids={follower.user_id for follower in feed.followers},
            reaching=reaching,
        )

    async def _catch_up(self, feed: Feed, reaching: int) -> None:
        try:
            self._say(feed, feed.caught_up(*await self._since(feed, reaching)))
        except (Refused, CannotResume, *postgres.AWAY):
            pass  # then the client starts anew

    # -- are we at the top? --

    async def check(self) -> None:
        """Compare every feed with the newest position, again and again, and at once when channels came back."""
        while True:
            try:
                async with asyncio.timeout(self._check_s):
                    await self._recheck.wait()
                back = True
                await asyncio.sleep(_GATHER_RECHECKS_S)
                self._recheck.clear()
            except TimeoutError:
                back = False
            if back:
                for feed in list(self._feeds.values()):
                    self._say(feed, feed.recheck_texts())
            watched = list(self._feeds)
            for first in range(0, len(watched), _TOPS_AT_ONCE):
                try:
                    await self._check(watched[first : first + _TOPS_AT_ONCE])
                except (*redis.AWAY, RedisError, *postgres.AWAY) as error:
                    log.warning("watched conversations not checked", error=repr(error))
                    break

    async def _check(self, conversation_ids: list[str]) -> None:
        tops = await read_tops(self._redis, conversation_ids)
        if lost := [c for c in conversation_ids if c not in tops]:
            tops |= {c: ("", at) for c, at in (await history.positions(self._pool, lost)).items()}
        for conversation_id, (epoch, top) in tops.items():
            feed = self._feeds.get(conversation_id)
            if feed is None:
                continue
            if epoch not in ("", feed.epoch):
                self._end(feed)
            else:
                self._say(feed, feed.top(top))
