"""The connections of this process: who they are, whom to tell of lists and refusals, and who reads too slowly."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from edge import metrics, revocations
from edge.access import Access
from edge.errors import Refused
from edge.fanout import Fanout
from edge.feeds import Feeds
from edge.followers import Follower
from edge.pushes import list_push
from edge.revocations import Ended
from edge.settings import GatewaySettings
from edge.wheel import Wheel
from infra.live import LiveRecord, decode_live, project_channel, user_channel
from schemas import frames
from schemas.account_events import ProjectChanged
from schemas.frames import CloseCode, ErrorCode

_LOOK_S: Final = 0.05
"""Seconds between two looks at slow connections."""
_WHEEL_S: Final = 0.25
"""Seconds between two turns of the wheel on which pings and deadlines hang."""

_personal = msgspec.json.Decoder(frames.PERSONAL).decode


class Connection(Protocol):
    """A client's connection, as the hub needs it.

    Attributes:
        due: when `tick` next has something to do.
        slow: whether its deltas are gathered; the hub's own, set by the connection.
        away: whether its person looks elsewhere.
    """

    projects: list[str]
    follows: dict[str, Follower]
    slow: bool
    away: bool

    @property
    def user_id(self) -> str: ...
    @property
    def sign_in_id(self) -> str: ...
    @property
    def due(self) -> float: ...
    @property
    def waiting_bytes(self) -> int: ...
    def write(self, data: bytes) -> None: ...
    def close(self, code: CloseCode) -> None: ...
    def shut_out(self, project_id: str) -> None: ...
    def tick(self, now: float) -> None: ...
    async def leave(self, reconnect_in_ms: int) -> None: ...


class Hub:
    """All connections of this process.

    After a `Refused` look-up or a lost channel nothing is wrong here for long: lists and refusals are told again by
    REST and by the next `subscribe`; what must not be missed goes through the feeds.
    """

    def __init__(self, settings: GatewaySettings, access: Access, feeds: Feeds, channels: Fanout) -> None:
        self._settings = settings
        self._access = access
        self._feeds = feeds
        self._channels = channels
        self._connections: set[Connection] = set()
        self._by_user: defaultdict[str, set[Connection]] = defaultdict(set)
        self._by_project: defaultdict[str, set[Connection]] = defaultdict(set)
        self._wheel: Wheel[Connection] = Wheel(_WHEEL_S, time.monotonic())
        self._slow: dict[Connection, int] = {}
        self._entering: set[asyncio.Task[None]] = set()
        self.full = False
        """Whether no further connection is let in."""

    # -- who is here --

    def opened(self, connection: Connection) -> None:
        """Someone connected; nothing is known of them yet."""
        self._connections.add(connection)
        self.full = len(self._connections) >= self._settings.connections
        self.schedule(connection)

    async def join(self, connection: Connection) -> None:
        """They said who they are.

        Raises:
            Refused: `rate_limited`: this person has too many connections here.
        """
        mine = self._by_user[connection.user_id]
        if len(mine) >= self._settings.connections_per_user:
            raise Refused(ErrorCode.RATE_LIMITED, "Too many connections.")
        mine.add(connection)
        metrics.CONNECTIONS.inc()
        try:
            projects = await self._access.projects(connection.user_id)
        except Refused:
            projects = []  # each is added when one of its conversations is used
        for project_id in projects:
            self._enter(connection, project_id)
        await self._channels.watch(user_channel(connection.user_id), *map(project_channel, connection.projects))

    async def use(self, connection: Connection, project_id: str) -> None:
        """They use something of a project that they may see: from now on they are told of its conversations."""
        if project_id not in connection.projects and connection in self._connections:
            self._enter(connection, project_id)
            await self._channels.watch(project_channel(project_id))

    def changed(self, event: ProjectChanged) -> None:
        """Somebody came to a project or went: who went is told nothing more of it, whoever came is told of it."""
        here = self._by_project.get(event.project_id, ())
        members = {member.user_id for member in event.members}
        for connection in [c for c in here if c.user_id not in members]:
            connection.projects.remove(event.project_id)
            self._leave(self._by_project, event.project_id, connection, project_channel(event.project_id))
            connection.shut_out(event.project_id)
        for connection in [c for user_id in members & self._by_user.keys() for c in self._by_user[user_id]]:
            entering = asyncio.create_task(self.use(connection, event.project_id))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    def ended(self, sign_ins: Iterable[Ended]) -> None:
        """These sign-ins have ended, and with them their connections."""
        for user_id, sign_in_id in sign_ins:
            for connection in self._by_user.get(user_id, ()):
                if connection.sign_in_id == sign_in_id:
                    connection.close(CloseCode.REVOKED)

    def _enter(self, connection: Connection, project_id: str) -> None:
        connection.projects.append(project_id)
        self._by_project[project_id].add(connection)

    def left(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
        self._slow.pop(connection, None)
        self._wheel.remove(connection)
        self.full = len(self._connections) >= self._settings.connections
        for conversation_id, follower in connection.follows.items():
            self._feeds.unfollow(conversation_id, follower)
        for project_id in connection.projects:
            self._leave(self._by_project, project_id, connection, project_channel(project_id))
        if connection in self._by_user.get(connection.user_id, ()):
            self._leave(self._by_user, connection.user_id, connection, user_channel(connection.user_id))
            metrics.CONNECTIONS.dec()

    def _leave(
        self, groups: defaultdict[str, set[Connection]], name: str, connection: Connection, channel: str
    ) -> None:
        group = groups[name]
        group.discard(connection)
        if not group:
            del groups[name]
            self._channels.forget(channel)

    # -- what comes on the channels --

    def heard(self, channel: str, message: bytes) -> None:
        """A message on any channel that somebody here watches."""
        kind, _, id = channel.partition(":")
        match kind:
            case "conversation":
                self._feeds.heard(id, message)
            case "project":
                self._tell_list(id, message)
            case "user":
                self._tell_person(id, message)
            case revocations.CHANNEL:
                self.ended(revocations.read_ended(message))

    def watching(self, channel: str) -> None:
        """A channel is confirmed, for the first time or again."""
        kind, _, id = channel.partition(":")
        if kind == "conversation":
            self._feeds.watching(id)

    def _tell_list(self, project_id: str, message: bytes) -> None:
        live = decode_live(message)
        if not isinstance(live, LiveRecord) or (push := list_push(live)) is None:
            return
        for connection in self._by_project.get(project_id, ()):
            # Whoever follows the conversation is told by its feed, in its order.
            if live.record.conversation_id not in connection.follows:
                connection.write(push)

    def _tell_person(self, user_id: str, message: bytes) -> None:
        push = _personal(message)
        # Whoever follows the conversation is told of a refusal by its feed, in its order.
        conversation_id = push.conversation_id if isinstance(push, frames.MessageRejectedPush) else None
        for connection in self._by_user.get(user_id, ()):
            if conversation_id not in connection.follows:
                connection.write(message)

    # -- time --

    def schedule(self, connection: Connection) -> None:
        """Look at the connection when it is due."""
        self._wheel.put(connection, connection.due)

    async def turn(self) -> None:
        """Turn the wheel until cancelled: each connection is looked at when it is due, and not before."""
        while True:
            await asyncio.sleep(_WHEEL_S)
            now = time.monotonic()
            for connection in self._wheel.turn(now):
                connection.tick(now)
                self.schedule(connection)

    # -- slow readers --

    def slowed(self, connection: Connection) -> None:
        """More waits to be written to this connection than it reads at once: its deltas are gathered from now on."""
        connection.slow = True
        self._slow.setdefault(connection, 0)

    async def watch_slow(self) -> None:
        """Bring slow connections up to date when they have read what waited, and close those that do not read."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for connection in list(self._slow):
                before, waiting = self._slow[connection], connection.waiting_bytes
                self._slow[connection] = waiting
                # One that reads may have just been given much at once; one that does not read gets no further.
                if waiting > self._settings.slow_bytes and waiting >= before > 0:
                    del self._slow[connection]
                    connection.close(CloseCode.TOO_SLOW)
                elif waiting < self._settings.gather_bytes:
                    del self._slow[connection]
                    connection.slow = False
                    for conversation_id, follower in connection.follows.items():
                        for data in self._feeds.gathered(conversation_id, follower):
                            connection.write(data)

    # -- the end --

    async def drain(self) -> None:
        """Send everybody away, spread over the drain time, so that they do not come back in one moment."""
        window_s = self._settings.drain_s
        leaving = list(self._connections)
        began = time.monotonic()
        async with asyncio.TaskGroup() as farewells:
            for number, connection in enumerate(leaving):
                await asyncio.sleep(began + window_s * number / len(leaving) - time.monotonic())
                # They leave one by one already; this parts those who leave in the same moment from several gateways.
                farewells.create_task(connection.leave(reconnect_in_ms=100 + hash(connection) % 900))
