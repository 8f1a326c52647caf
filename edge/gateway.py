"""The gateway process: clients' WebSockets on one side, Kafka's and Redis' clients on the other."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import parse_qs

import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.http11 import Request, Response
from websockets.typing import Origin, Subprotocol

from edge.access import Access
from edge.addresses import NOBODY, Crowd
from edge.changes import Changes
from edge.commands import Commands
from edge.decisions import Decisions
from edge.fanout import Fanout
from edge.feeds import Feeds
from edge.forbidden import ForbiddenOnes
from edge.hub import Hub
from edge.notifications import Notifications
from edge.past import Past
from edge.presence import Presence
from edge.revocations import CACHE_WITHIN_S, CHANNEL, Revocations
from edge.session import Credentials, Session
from edge.settings import GatewaySettings
from edge.tokens import Tokens, TokenSettings
from edge.websocket import Connection
from infra import postgres, redis
from infra.kafka import Publisher, epoch_of, topic_ids
from infra.keyring import Keyring
from infra.patience import patiently
from infra.process import Process, run
from infra.settings import (
    BadSetting,
    KafkaSettings,
    PostgresSettings,
    ProcessSettings,
    RedisSettings,
    SealingSettings,
)
from schemas.frames import MAX_FRAME_BYTES, SUBPROTOCOL, CloseCode
from schemas.ids import new_id
from schemas.topics import CONVERSATION_EVENTS

log = structlog.get_logger(__name__)

PATH: Final = "/v1/ws"
_BEARER: Final = "bearer."
_CREDENTIALS_IN_URL: Final = frozenset({"token", "access_token", "bearer", "authorization", "jwt"})
_BACKLOG: Final = 4096
"""Connections that wait to be accepted: after a restart everybody comes back at once."""
_SEND_BUFFER_BYTES: Final = 128 * 1024
"""What the kernel keeps for each client. By default it grows to megabytes, and hides from us who reads slowly."""
_CLOSE_TIMEOUT_S: Final = 5
"""Seconds that a client has to read what waits and to answer the close."""
_STOP_KAFKA_S: Final = 5.0


class Line(ServerConnection):
    """A connection from its first byte on, counted with the others of its address.

    Attributes:
        client: where its request came from, once there is one; through a trusted proxy, from where it came to that.
    """

    def __init__(self, crowd: Crowd, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.client = ""
        self._crowd = crowd
        self._counted: str | None = None

    @property
    def peer(self) -> str:
        """The address on the other end; empty where there is none, as on a Unix socket."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._counted = self._crowd.came(self.peer)
        if self._counted is None:
            self.transport.abort()
        else:
            super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted is not None:
            self._crowd.left(self._counted)
            super().connection_lost(exc)

    def crowded(self, client: str) -> bool:
        """Whether this client's address, which a proxy may have told, has too many connections now."""
        if client != self.peer:
            self._crowd.left(self._counted or NOBODY)
            counted = self._crowd.came(client)
            self._counted = counted or NOBODY
            if counted is None:
                return True
        return self._crowd.crowded(self._counted or NOBODY)


class Gateway:
    """What answers on the listening sockets."""

    def __init__(
        self,
        settings: GatewaySettings,
        tokens: Tokens,
        hub: Hub,
        feeds: Feeds,
        access: Access,
        commands: Commands,
        presence: Presence,
        revocations: Revocations,
        notifications: Notifications,
        forbidden: ForbiddenOnes,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._hub = hub
        self._feeds = feeds
        self._access = access
        self._commands = commands
        self._presence = presence
        self._revocations = revocations
        self._notifications = notifications
        self._forbidden = forbidden
        self._crowd = Crowd(settings.connections_per_address)
        self._servers: list[Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Listen; it returns once it does."""
        for sock in sockets:
            self._servers.append(
                await listen(
                    self._serve,
                    sock=sock,
                    backlog=_BACKLOG,
                    origins=[*map(Origin, self._settings.origins), None],
                    select_subprotocol=_select_subprotocol,
                    subprotocols=[Subprotocol(SUBPROTOCOL)],
                    compression=None,
                    process_request=self._admit,
                    server_header=None,
                    open_timeout=self._settings.handshake_within_s,
                    ping_interval=None,
                    close_timeout=_CLOSE_TIMEOUT_S,
                    max_size=MAX_FRAME_BYTES,
                    max_queue=4,
                    write_limit=self._settings.gather_bytes,
                    create_connection=partial(Line, self._crowd),  # type: ignore[arg-type]  # it asks for a class
                )
            )

    async def stop(self) -> None:
        """Stop listening at once, send everybody away over the drain time, and return when all are gone."""
        for server in self._servers:
            # The kernel gives connections of the shared port to every socket that listens on it, so these go first.
            server.close(close_connections=False)
        await self._hub.drain()
        for server in self._servers:
            for left in server.connections:  # those that came in the last moment
                await left.close(CloseCode.SERVICE_RESTART)
            await server.wait_closed()

    async def _serve(self, ws: ServerConnection) -> None:
        assert ws.request is not None
        assert isinstance(ws, Line)
        session = Session(
            new_id(),
            self._settings.session,
            self._verify,
            offered=_offered_token(ws.request),
            now=time.monotonic(),
        )
        connection = Connection(
            ws,
            session,
            self._hub,
            self._feeds,
            self._access,
            self._commands,
            self._presence,
            self._revocations,
            self._notifications,
            partial(self._forbidden.note, address=ws.client),
            self._settings,
        )
        await connection.serve()

    def _verify(self, token: str) -> Credentials:
        principal = self._tokens.verify(token)
        lifetime_s = (principal.expires_at - datetime.now(UTC)).total_seconds()
        return Credentials(principal.user_id, principal.sign_in_id, lifetime_s)

    def _admit(self, ws: ServerConnection, request: Request) -> Response | None:
        """Answer what is no upgrade to be accepted. The origin is checked by the library, against our list."""
        path, _, query = request.path.partition("?")
        if path != PATH:
            return ws.respond(HTTPStatus.NOT_FOUND, f"The WebSocket is at {PATH}.\n")
        if _CREDENTIALS_IN_URL & parse_qs(query, keep_blank_values=True).keys():
            return ws.respond(
                HTTPStatus.BAD_REQUEST,
                "A URL is written to logs: send the token in the first frame or in Sec-WebSocket-Protocol.\n",
            )
        assert isinstance(ws, Line)
        ws.client = self._settings.proxies.client(ws.peer, request.headers.get_all("X-Forwarded-For"))
        if ws.crowded(ws.client):
            return ws.respond(HTTPStatus.TOO_MANY_REQUESTS, "Too many connections from this address.\n")
        if self._hub.full:
            return ws.respond(HTTPStatus.SERVICE_UNAVAILABLE, "This gateway is full; try again.\n")
        return None


def _select_subprotocol(_ws: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def _offered_token(request: Request) -> str | None:
    for header in request.headers.get_all("Sec-WebSocket-Protocol"):
        for protocol in header.split(","):
            if (name := protocol.strip()).startswith(_BEARER):
                return name.removeprefix(_BEARER)
    return None


def _listen(settings: GatewaySettings) -> list[socket.socket]:
    """The shared port and the gateway's own; not yet listening, so nobody is accepted before we are ready."""
    sockets = []
    for port in (settings.port, settings.extra_port):
        if port is None:
            continue
        sock = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if port == settings.port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted connections inherit it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        try:
            sock.bind((settings.host, port))
        except OSError as error:
            raise BadSetting(
                f"cannot listen on {settings.host}:{port}: {error.strerror}; "
                "set CHORUS_WS_PORT or CHORUS_WS_EXTRA_PORT to another port"
            ) from error
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


async def serve(process: Process, env: Mapping[str, str]) -> None:
    """Serve until the process is to stop, then send everybody away.

    Raises:
        BadSetting: a setting is missing, cannot be used, or names a port that is taken.
    """
    settings = GatewaySettings.from_env(env)
    tokens = Tokens(TokenSettings.from_env(env))
    sealing = SealingSettings.from_env(env)
    kafka = KafkaSettings.from_env(env)
    sockets = _listen(settings)
    pool = await postgres.connect(PostgresSettings.from_env(env))
    cache = redis.connect(RedisSettings.from_env(env))
    quick = redis.connect(RedisSettings.from_env(env), timeout_s=CACHE_WITHIN_S)
    publisher = Publisher(kafka, "/edge/gateway")
    process.not_ready = lambda: "Kafka has not been reached yet"
    stopping = asyncio.ensure_future(process.stopping.wait())
    reaching = asyncio.ensure_future(_reach_kafka(kafka, publisher))
    try:
        await asyncio.wait([stopping, reaching], return_when=asyncio.FIRST_COMPLETED)
        if process.stopping.is_set():
            return
        epoch = reaching.result()
        access = Access(pool)
        decisions = Decisions(cache)
        fanout = Fanout(
            RedisSettings.from_env(env),
            lambda channel, message: hub.heard(channel, message),
            lambda channel: hub.watching(channel),
        )
        past = Past(cache, pool, epoch)
        presence = Presence(
            cache, settings.presence, new_id(), lambda conversation_id, told: feeds.tell(conversation_id, told)
        )
        feeds = Feeds(fanout, past, cache, pool, presence, check_s=settings.check_s)
        hub = Hub(settings, access, feeds, fanout)
        commands = Commands(
            access=access,
            keyring=Keyring(pool, sealing),
            publisher=publisher,
            decisions=decisions,
            redis=cache,
            pool=pool,
            epoch=epoch,
        )
        revocations = Revocations(pool, quick, redis.Reach(), hub.ended)
        notifications = Notifications(pool, cache)
        forbidden = ForbiddenOnes(pool)
        gateway = Gateway(
            settings, tokens, hub, feeds, access, commands, presence, revocations, notifications, forbidden
        )
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(work)
                for work in (
                    fanout.run(),
                    decisions.run(),
                    feeds.check(),
                    presence.run(),
                    Changes(kafka, access, hub.changed).run(),
                    fanout.watch(CHANNEL),
                    revocations.run(),
                    forbidden.run(),
                    hub.turn(),
                    hub.watch_slow(),
                )
            ]
            await gateway.start(sockets)
            process.not_ready = lambda: None
            await stopping
            await gateway.stop()
            for task in background:
                task.cancel()
    finally:
        stopping.cancel()
        reaching.cancel()
        pool.terminate()
        await cache.aclose()
        await quick.aclose()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_KAFKA_S):
                await publisher.stop()


async def _reach_kafka(kafka: KafkaSettings, publisher: Publisher) -> str:
    """Connect the producer; answers with the log's epoch."""
    await patiently("Kafka", (KafkaError,), publisher.start)
    topic = CONVERSATION_EVENTS.topic
    ids = await patiently("Kafka", (KafkaException,), lambda: topic_ids(kafka, [topic]))
    return epoch_of(ids[topic])


def main(arguments: Sequence[str]) -> None:
    """`python -m edge gateway`"""
    if arguments:
        raise SystemExit("usage: python -m edge gateway")
    run("gateway", ProcessSettings.from_env(os.environ, "gateway"), lambda process: serve(process, os.environ))
