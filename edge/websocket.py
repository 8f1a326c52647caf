"""One client's socket: frames from it into the session, what the session says carried out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from edge import metrics
from edge.access import Access
from edge.commands import Commands
from edge.errors import Forbidden, Refused
from edge.feeds import Feeds
from edge.followers import Follower
from edge.hub import Hub
from edge.notifications import Notifications
from edge.presence import Presence
from edge.revocations import Revocations
from edge.session import Close, Effect, Join, Perform, Renew, Send, Session, subscribed
from edge.settings import GatewaySettings
from schemas import frames
from schemas.frames import CLOSE_REASONS, CloseCode, ErrorCode

T = TypeVar("T")

log = structlog.get_logger(__name__)

_HARD_FACTOR: Final = 4
"""How many times the bound on waiting bytes one burst may take before the next look at slow connections."""
_FINISH_WITHIN_S: Final = 5.0
"""Seconds that commands under way may still take when a connection is sent away: a publish's limit."""

_TURNED_AWAY: Final = {
    ErrorCode.UNAUTHENTICATED: CloseCode.REVOKED,
    ErrorCode.RATE_LIMITED: CloseCode.TOO_MANY_CONNECTIONS,
    ErrorCode.UNAVAILABLE: CloseCode.SERVICE_RESTART,
}


class Connection:
    """A client's connection; see `edge.hub.Connection` for what the hub sees of it."""

    __slots__ = (
        "_access", "_closing", "_commands", "_feeds", "_forbidden", "_hub", "_in_flight", "_lanes", "_notifications",
        "_presence", "_revocations", "_session", "_settings", "_ws", "away", "follows", "projects", "slow",
    )  # fmt: skip

    def __init__(
        self,
        ws: ServerConnection,
        session: Session,
        hub: Hub,
        feeds: Feeds,
        access: Access,
        commands: Commands,
        presence: Presence,
        revocations: Revocations,
        notifications: Notifications,
        forbidden: Callable[[str, Forbidden], None],
        settings: GatewaySettings,
    ) -> None:
        self._ws = ws
        self._session = session
        self._hub = hub
        self._feeds = feeds
        self._access = access
        self._commands = commands
        self._presence = presence
        self._revocations = revocations
        self._notifications = notifications
        self._forbidden = forbidden
        self._settings = settings
        self._closing: asyncio.Task[None] | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self._lanes: dict[str, asyncio.Future[None]] = {}
        self.follows: dict[str, Follower] = {}
        self.projects: list[str] = []
        self.slow = False
        self.away = False

    @property
    def user_id(self) -> str:
        return self._session.user_id

    @property
    def sign_in_id(self) -> str:
        return self._session.sign_in_id

    @property
    def due(self) -> float:
        return self._session.due

    @property
    def waiting_bytes(self) -> int:
        return self._ws.transport.get_write_buffer_size()

    async def serve(self) -> None:
        """Read until the client is gone."""
        self._hub.opened(self)
        try:
            async for data in self._ws:
                metrics.FRAMES_IN.inc()
                for effect in self._session.received(data, time.monotonic()):
                    await self._carry_out(effect)
                while len(self._in_flight) >= self._settings.commands_in_flight:
                    await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        except ConnectionClosed as closed:
            if self._closing is None and closed.sent is not None and not closed.rcvd_then_sent:
                metrics.CLOSES.labels(str(closed.sent.code)).inc()  # the library's: a frame too large, no UTF-8
        finally:
            self._session.lost()
            self._hub.left(self)
            if self._closing is not None:
                await self._closing

    def tick(self, now: float) -> None:
        self._apply(self._session.tick(now))

    def write(self, data: bytes) -> None:
        ws = self._ws
        if ws.protocol.state is not State.OPEN or self._closing is not None:
            return
        waiting = ws.transport.get_write_buffer_size()
        if waiting > self._settings.gather_bytes:
            if waiting > self._settings.slow_bytes * _HARD_FACTOR:
                self.close(CloseCode.TOO_SLOW)
                return
            if not self.slow:
                self._hub.slowed(self)
        ws.protocol.send_text(data)
        ws.send_data()
        metrics.FRAMES_OUT.inc()
        metrics.BYTES_OUT.inc(len(data))

    def close(self, code: CloseCode) -> None:
        """Close; what waits is still written, for as long as the client takes it."""
        if self._closing is None:
            self._session.lost()
            metrics.CLOSES.labels(str(int(code))).inc()
            self._closing = asyncio.create_task(self._ws.close(code, CLOSE_REASONS[code]))

    def shut_out(self, project_id: str) -> None:
        """This person is no member of the project any more: what they follow of it is taken away, and they are told."""
        for conversation_id in list(self.follows):
            if self._feeds.project_of(conversation_id) == project_id:
                self._unsubscribe(conversation_id)
                self.write(subscribed(conversation_id, Refused(ErrorCode.NOT_FOUND)))

    async def leave(self, reconnect_in_ms: int) -> None:
        """Say goodbye, finish what is under way, and close."""
        self._apply(self._session.goodbye("the server restarts", reconnect_in_ms))
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=_FINISH_WITHIN_S)
        self.close(CloseCode.SHUTTING_DOWN)
        if self._closing is not None:
            await self._closing

    # -- effects --

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self.write(effect.data)
                case Close():
                    self.close(effect.code)
                case Perform():
                    self._begin(effect.frame)
                case Join() | Renew():
                    raise AssertionError("only a frame from the client says who someone is")

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Join():
                await self._join()
            case Renew():
                await self._renew(effect)
            case _:
                self._apply([effect])

    async def _join(self) -> None:
        try:
            await self._revocations.check(self._session.sign_in_id)
            await self._hub.join(self)
        except Refused as refused:
            self._apply(self._session.turn_away(refused, _TURNED_AWAY[refused.code]))
            return
        self._apply(self._session.welcome(time.monotonic()))
        self._hub.schedule(self)
        if self._session.resume:
            points, self._session.resume = self._session.resume, []
            self._run(self._resume(points))

    async def _renew(self, renew: Renew) -> None:
        try:
            await self._revocations.check(renew.sign_in_id)
        except Refused as refused:
            self._apply(self._session.turn_away(refused, _TURNED_AWAY[refused.code], renew.id))
        else:
            self._apply(self._session.renewed(renew, time.monotonic()))
            self._hub.schedule(self)

    def _begin(self, frame: frames.ClientFrame) -> None:
        if not isinstance(frame, frames.Subscribe | frames.Unsubscribe | frames.MessageSend):
            self._run(self._perform(frame))
            return
        # These keep their order, each conversation's own; a cancel or another conversation passes them. The next one
        # need not wait for the broker's word on a message, only until the message is in front of it on the way there.
        lane = frame.conversation_id
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = self._run(self._perform_in_turn(frame, self._lanes.get(lane), passed))
        self._lanes[lane] = passed
        task.add_done_callback(lambda _: self._leave_lane(lane, passed))

    def _leave_lane(self, lane: str, passed: "asyncio.Future[None]") -> None:
        _let_pass(passed)
        if self._lanes.get(lane) is passed:
            del self._lanes[lane]

    def _run(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return task

    # -- commands --

    async def _perform_in_turn(
        self, frame: frames.ClientFrame, before: "asyncio.Future[None] | None", passed: "asyncio.Future[None]"
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._perform(frame, partial(_let_pass, passed))

    async def _perform(self, frame: frames.ClientFrame, on_its_way: Callable[[], None] | None = None) -> None:
        outcome = await self._or_refused(self._outcome(frame, on_its_way))
        if isinstance(outcome, Refused):
            self._apply(self._session.refused(frame.id, outcome))
        else:
            self._apply(self._session.performed(frame.id, outcome))
            self._go_live(frame)

    async def _or_refused(self, work: Awaitable[T]) -> T | Refused:
        try:
            return await work
        except Refused as error:
            refused = error
            if isinstance(error, Forbidden):
                self._forbidden(self.user_id, error)
        except Exception:
            # Every command gets a reply, and one person's bad luck is not ten thousand people's reconnect.
            log.exception("command failed")
            refused = Refused(ErrorCode.INTERNAL)
        metrics.REFUSALS.labels(refused.code).inc()
        return refused

    async def _outcome(self, frame: frames.ClientFrame, on_its_way: Callable[[], None] | None) -> Any:
        commands, me = self._commands, self.user_id
        match frame:
            case frames.Subscribe():
                return await self._subscribe(frame.conversation_id, frame.cursor, frame.runs)
            case frames.Unsubscribe():
                return self._unsubscribe(frame.conversation_id)
            case frames.MessageSend():
                sent = await commands.send_message(
                    me,
                    conversation_id=frame.conversation_id,
                    client_message_id=frame.client_message_id,
                    content=frame.content,
                    agent_id=frame.agent_id,
                    when_busy=frame.when_busy,
                    edits=frame.edits,
                    on_its_way=on_its_way,
                )
                return {"message_id": sent.message_id, "run_id": sent.run_id}
            case frames.MessageRegenerate():
                run_id = await commands.regenerate(
                    me,
                    conversation_id=frame.conversation_id,
                    message_id=frame.message_id,
                    client_request_id=frame.client_request_id,
                )
                return {"run_id": run_id}
            case frames.RunCancel():
                status = await commands.cancel(
                    me,
                    conversation_id=frame.conversation_id,
                    run_id=frame.run_id,
                    client_message_id=frame.client_message_id,
                )
                return {"status": status}
            case frames.ConversationCreate():
                created = await commands.create(
                    me,
                    project_id=frame.project_id,
                    conversation_id=frame.conversation_id,
                    title=frame.title,
                    agent_id=frame.agent_id,
                )
                await self._hub.use(self, frame.project_id)
                return {"conversation_id": created.conversation_id}
            case frames.ConversationUpdate():
                await commands.update(
                    me,
                    conversation_id=frame.conversation_id,
                    title=frame.title,
                    archived=frame.archived,
                    agent_id=frame.agent_id,
                )
                return {"conversation_id": frame.conversation_id}
            case frames.ConversationDelete():
                await commands.delete(me, conversation_id=frame.conversation_id)
                return {"conversation_id": frame.conversation_id}
            case frames.ConversationRestore():
                await commands.restore(me, conversation_id=frame.conversation_id)
                return {"conversation_id": frame.conversation_id}
            case frames.Typing():
                await commands.check_may_write(me, frame.conversation_id)
                await self._presence.typing(frame.conversation_id, me)
                return None
            case frames.NotificationsRead():
                return {"unread": await self._notifications.read(me, frame.up_to)}
            case frames.PresenceSet():
                self.away = frame.status == "away"
                for conversation_id, follower in self.follows.items():
                    self._feeds.look(conversation_id, follower)
                return None
            case _:
                raise AssertionError(f"the session performs no {type(frame).__name__}")

    # -- subscriptions --

    async def _subscribe(
        self, conversation_id: str, cursor: str | None, runs: dict[str, frames.RunCursor]
    ) -> frames.SubscribeReply:
        # A reply may be large: the client reads the one before first.
        await self._ws.drain()
        access = await self._access.present_conversation(self.user_id, conversation_id)
        await self._hub.use(self, access.project_id)
        self._unsubscribe(conversation_id)
        if len(self.follows) >= self._settings.subscriptions:
            raise Refused(ErrorCode.RATE_LIMITED, "Too many subscriptions on one connection.")
        follower = self.follows[conversation_id] = Follower(self.user_id, self)
        try:
            reply = await self._feeds.follow(conversation_id, follower, cursor, runs)
        except BaseException:
            if self.follows.get(conversation_id) is follower:
                del self.follows[conversation_id]
            raise
        if self._session.closed or self.follows.get(conversation_id) is not follower:
            self._feeds.unfollow(conversation_id, follower)
        if access.project_id not in self.projects:  # shut out meanwhile
            self._unsubscribe(conversation_id)
            raise Refused(ErrorCode.NOT_FOUND)
        return reply

    def _go_live(self, point: object) -> None:
        if isinstance(point, frames.Subscribe | frames.ResumePoint):
            follower = self.follows.get(point.conversation_id)
            if follower is not None:
                self._feeds.go_live(follower)

    def _unsubscribe(self, conversation_id: str) -> None:
        follower = self.follows.pop(conversation_id, None)
        if follower is not None:
            self._feeds.unfollow(conversation_id, follower)

    async def _resume(self, points: list[frames.ResumePoint]) -> None:
        for point in points:
            outcome = await self._or_refused(self._subscribe(point.conversation_id, point.cursor, point.runs))
            self.write(subscribed(point.conversation_id, outcome))
            if not isinstance(outcome, Refused):
                self._go_live(point)


def _let_pass(passed: "asyncio.Future[None]") -> None:
    if not passed.done():
        passed.set_result(None)
