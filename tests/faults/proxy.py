"""A network that fails when told to: a TCP proxy between the processes and one thing that they depend on.

It speaks no protocol. What it can do to connections is what networks do: carry, break (RST), refuse, swallow, delay,
go slowly, and break in the middle of a record.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST, and the other side learns of it as of a crash."""


class _End(asyncio.Protocol):
    """One of the two connections of a link."""

    transport: asyncio.Transport | None = None
    peer: "_End"

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self._waiting: deque[tuple[float, bytes]] = deque()
        """What is on its way to the peer, with the loop's time at which it arrives; empty bytes are the end."""
        self.early: list[bytes] = []
        """What came before there was a peer."""
        self._timer: asyncio.TimerHandle | None = None
        self._free_at = 0.0
        self._held = False
        self._ended = False

    # -- asyncio's side --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's own class
        self._proxy.ends.add(self)
        if self.peer.transport is not None:
            for data in self.peer.early:
                self._write(data)
            self.peer.hold(self._proxy.swallows)
            # Not at once: uvloop begins to read after this returns, whatever is said here.
            asyncio.get_running_loop().call_soon(lambda: self.hold(self._proxy.swallows))

    def data_received(self, data: bytes) -> None:
        if self._proxy.breaks_next and len(data) > 1:
            self._proxy.breaks_next = False
            self._pass(data[: len(data) // 2])
            asyncio.get_running_loop().call_later(0.02, self.reset)  # what was passed is read before it breaks
            return
        self._carry(data)

    def eof_received(self) -> bool:
        self._carry(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.ends.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self.peer.transport is not None and not self.peer.transport.is_closing():
            if exc is None:
                self.peer.transport.close()
            else:
                self.peer.reset(both=False)

    def pause_writing(self) -> None:
        self.peer.hold(True)

    def resume_writing(self) -> None:
        self.peer.hold(self._proxy.swallows)

    # -- what the proxy does to it --

    def hold(self, held: bool) -> None:
        """Read no more from this side, or go on: what it sends piles up in the kernels, as behind a dead router."""
        if self.transport is None or self.transport.is_closing() or held == self._held:
            return
        self._held = held
        self.transport.pause_reading() if held else self.transport.resume_reading()

    def reset(self, both: bool = True) -> None:
        if self.transport is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
        if both:
            self.peer.reset(both=False)

    def _carry(self, data: bytes) -> None:
        proxy = self._proxy
        if not proxy.delay_s and not proxy.bytes_per_s and not self._waiting:
            self._pass(data)
            return
        now = asyncio.get_running_loop().time()
        takes = len(data) / proxy.bytes_per_s if proxy.bytes_per_s else 0.0
        self._free_at = max(now, self._free_at) + takes
        self._waiting.append((self._free_at + proxy.delay_s, data))
        if self._timer is None:
            self._later()

    def _later(self) -> None:
        self._timer = asyncio.get_running_loop().call_at(self._waiting[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0][0] <= now + 0.001:
            self._pass(self._waiting.popleft()[1])
        if self._waiting:
            self._later()

    def _pass(self, data: bytes) -> None:
        if self.peer.transport is None:
            self.early.append(data)
        else:
            self.peer._write(data)

    def _write(self, data: bytes) -> None:
        assert self.transport is not None
        if self.transport.is_closing():
            return
        if data:
            self.transport.write(data)
        elif self.transport.can_write_eof():
            self.transport.write_eof()
            self._ended = True
            if self.peer._ended:  # a transport whose two ways have ended is kept open all the same
                self.transport.close()
                if self.peer.transport is not None:
                    self.peer.transport.close()


class Proxy:
    """Listens on one port of this machine and carries to another.

    Attributes:
        delay_s: how long everything is on its way, in each direction.
        bytes_per_s: how much goes through each connection in each direction; 0 is without limit.
        swallows: nothing comes through, and nobody is told; what was held back goes on when it ends.
        breaks_next: the next piece of data gets half through, then its connection breaks.
        connections: how many came so far.
    """

    def __init__(self, name: str, port: int, target: int) -> None:
        self.name = name
        self.port = port
        self.target = target
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        self.swallows = False
        self.breaks_next = False
        self.connections = 0
        self.ends: set[_End] = set()
        self._server: asyncio.Server | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._heals = asyncio.Event()
        self._heals.set()

    async def open(self) -> None:
        """Listen; also again after `refuse`."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._accept, "127.0.0.1", self.port, backlog=512)

    async def close(self) -> None:
        await self.refuse()
        for task in self._opening:
            task.cancel()

    async def refuse(self) -> None:
        """Break everything, and refuse whoever comes, until `open`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Break every connection (RST), once; whoever comes again is carried."""
        for end in list(self.ends):
            end.reset()

    def swallow(self, swallows: bool) -> None:
        """Carry nothing and say nothing, or heal: then what was held back goes on, as after a partition."""
        self.swallows = swallows
        self._heals.clear() if swallows else self._heals.set()
        for end in list(self.ends):
            if end.peer.transport is not None:
                end.hold(swallows)

    def _accept(self) -> _End:
        self.connections += 1
        near, far = _End(self), _End(self)
        near.peer, far.peer = far, near
        task = asyncio.get_running_loop().create_task(self._reach(near, far))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return near

    async def _reach(self, near: _End, far: _End) -> None:
        await self._heals.wait()
        try:
            await asyncio.get_running_loop().create_connection(lambda: far, "127.0.0.1", self.target)
        except OSError:
            near.reset(both=False)
            return
        if near.transport is None or near.transport.is_closing():
            far.reset(both=False)
