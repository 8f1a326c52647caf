"""A connection to the REST process before there is a request: its head comes in time, and has an end.

uvicorn waits for ever for headers, and keeps them all. Whoever sends them byte by byte would hold connections for
nothing, or fill the memory with one.
"""

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of one request's first line and headers, as far as they come in pieces; what a piece holds is bounded by asyncio."""


class Line(HttpToolsProtocol):
    """What uvicorn does with a connection, and an end to its patience.

    Attributes:
        head_within_s: seconds from the connection, or the first byte after an answer, to the end of the headers.
    """

    head_within_s: ClassVar[float] = 10.0

    _due: asyncio.TimerHandle | None = None
    _head_bytes: int | None = None
    """Of a head that has begun; None between heads."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # it is None at first
            self._await_head()  # also for the rest of a body that nobody wants, and for empty lines
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The headers are too long.")

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        self._stop_waiting()
        super().on_headers_complete()

    def _await_head(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(self.head_within_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
