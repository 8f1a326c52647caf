"""From Redis' channels to this process: one connection for everything that anybody here watches.

It speaks the protocol itself, in a callback: at thousands of messages a second a task and a future for each would be
most of the work.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis
import structlog
from redis.asyncio.connection import parse_url

from infra.settings import RedisSettings

log = structlog.get_logger(__name__)

ACK_WITHIN_S: Final = 2.0
"""Seconds that a watcher waits for Redis to confirm a channel. After that it goes on with what it can read, and is
brought up to date when the confirmation comes."""
PING_S: Final = 5.0
"""Seconds between pings; a connection that gave no answer to the one before is made anew."""
_RECONNECT_S: Final = 0.2
_CHANNELS_AT_ONCE: Final = 1_000
"""Channels in one SUBSCRIBE: the reply to a very long one would hold up what others wait for."""


class Fanout:
    """Watches channels, and goes on watching them whatever happens to Redis.

    Args:
        heard: called with the channel and the message, in the order of each channel.
        watching: called when Redis confirms a channel: from now on messages come. Again after each reconnect, because
            what was told in between is lost.
    """

    def __init__(
        self, settings: RedisSettings, heard: Callable[[str, bytes], None], watching: Callable[[str], None]
    ) -> None:
        self._url = settings.url
        self._heard = heard
        self._watching = watching
        self._wanted: dict[str, asyncio.Future[None] | None] = {}
        """Every channel that is watched, with a future while its confirmation is awaited."""
        self._line: _Line | None = None

    @property
    def connected(self) -> bool:
        return self._line is not None

    async def watch(self, *channels: str) -> None:
        """Begin to watch; returns once Redis has confirmed, or after `ACK_WITHIN_S`. Watched ones may be among them."""
        new = [channel for channel in channels if channel not in self._wanted]
        for channel in new:
            self._wanted[channel] = asyncio.get_running_loop().create_future()
        if new and self._line is not None:
            self._line.send("SUBSCRIBE", *new)
        awaited = [future for channel in channels if (future := self._wanted.get(channel)) is not None]
        if awaited:
            await asyncio.wait(awaited, timeout=ACK_WITHIN_S)

    def forget(self, *channels: str) -> None:
        """Watch no more."""
        gone = [channel for channel in channels if channel in self._wanted]
        for channel in gone:
            future = self._wanted.pop(channel)
            if future is not None:
                future.cancel()
        if gone and self._line is not None:
            self._line.send("UNSUBSCRIBE", *gone)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            try:
                await self._once()
            except (OSError, TimeoutError, hiredis.HiredisError) as error:
                log.warning("live channels not heard: redis is away", error=repr(error))
            await asyncio.sleep(_RECONNECT_S)

    async def _once(self) -> None:
        async with asyncio.timeout(ACK_WITHIN_S):
            line = await _connect(self._url, self._message)
        try:
            channels = list(self._wanted)
            for first in range(0, len(channels), _CHANNELS_AT_ONCE):
                line.send("SUBSCRIBE", *channels[first : first + _CHANNELS_AT_ONCE])
            self._line = line
            while not line.lost.done():
                line.ping()
                await asyncio.wait([line.lost], timeout=PING_S)
            line.lost.result()
        finally:
            self._line = None
            line.close()

    def _message(self, reply: list[Any]) -> None:
        kind = reply[0]
        if kind == b"message":
            self._heard(reply[1].decode(), reply[2])
        elif kind == b"subscribe":
            channel = reply[1].decode()
            if channel not in self._wanted:
                return  # forgotten in the meantime
            future, self._wanted[channel] = self._wanted[channel], None
            if future is not None and not future.done():
                future.set_result(None)
            self._watching(channel)


class _Line(asyncio.Protocol):
    """One connection in subscriber mode (RESP2)."""

    def __init__(self, message: Callable[[list[Any]], None]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._message = message
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._answered = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("redis closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, hiredis.HiredisError):
                    raise ConnectionError(str(reply))  # wrong password, no permission, loading
                if isinstance(reply, list) and reply[0] != b"pong":
                    self._message(reply)
                else:
                    self._answered = True
        except (ConnectionError, hiredis.HiredisError) as error:
            self._fail(error)

    def ping(self) -> None:
        if not self._answered:
            self._fail(TimeoutError("redis does not answer"))
            return
        self._answered = False
        self.send("PING")

    def send(self, *command: str) -> None:
        # What is asked of a line that is lost is asked again of the next one; uvloop would raise.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub allows one word

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_exception(error)
            # Whoever closes the line itself does not ask for the reason.
            with contextlib.suppress(Exception):
                self.lost.exception()


async def _connect(url: str, message: Callable[[list[Any]], None]) -> _Line:
    where = parse_url(url)
    loop = asyncio.get_running_loop()
    if (path := where.get("path")) is not None:
        _, line = await loop.create_unix_connection(lambda: _Line(message), path)
    else:
        tls = ssl.create_default_context() if url.startswith("rediss://") else None
        _, line = await loop.create_connection(
            lambda: _Line(message), where.get("host", "localhost"), where.get("port", 6379), ssl=tls
        )
    if password := where.get("password"):
        line.send("AUTH", *([user] if (user := where.get("username")) else []), password)
    return line
