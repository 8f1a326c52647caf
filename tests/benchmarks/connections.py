"""What a connected person costs a gateway.

Question: memory for each connected, authenticated, subscribed client, every one with a project and a conversation of
their own, and the processor time that ten thousand of them take while nothing happens. Needs Kafka, PostgreSQL and
Redis from the environment; starts a gateway of its own, and the clients in another process.

    python -m tests.benchmarks.connections --count 10000
"""

import argparse
import asyncio
import json
import os
import struct
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from edge.tokens import Tokens, TokenSettings
from infra import postgres
from infra.settings import PostgresSettings
from infra.stack.ports import free_port
from schemas.ids import new_id

IDLE_S = 60.0
"""Seconds of doing nothing, so that every connection was pinged at least twice."""
_OPENING_AT_ONCE = 50
_TICK_S = os.sysconf("SC_CLK_TCK")


# -- the clients: as little as a client can be, so that ten thousand fit into one process --


class Client(asyncio.Protocol):
    """Says hello, subscribes, answers pings, and counts."""

    alive = 0

    def __init__(self, host: str, token: str, conversation_id: str) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host = host
        self._first = (
            {"id": 1, "type": "hello", "token": token},
            {"id": 2, "type": "subscribe", "conversation_id": conversation_id},
        )
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        Client.alive += 1
        self._write(
            f"GET /v1/ws HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        Client.alive -= 1
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            _head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self._upgraded, self._buffer = True, rest
            for frame in self._first:
                self._say(frame)
        while (payload := self._frame()) is not None:
            frame = json.loads(payload)
            if frame.get("type") == "ping":
                self._say({"type": "ping"})
            elif frame.get("id") == 2:
                if frame["ok"]:
                    self.ready.set_result(None)
                elif frame["error"]["retryable"]:
                    asyncio.get_running_loop().call_later(1, self._say, self._first[1])
                else:
                    self.ready.set_exception(RuntimeError(str(frame)))

    def _frame(self) -> bytes | None:
        if len(self._buffer) < 2:
            return None
        size, at = self._buffer[1], 2
        if size == 126:
            if len(self._buffer) < 4:
                return None
            (size,) = struct.unpack_from(">H", self._buffer, 2)
            at = 4
        if len(self._buffer) < at + size:
            return None
        payload, self._buffer = self._buffer[at : at + size], self._buffer[at + size :]
        return payload

    def _say(self, frame: dict[str, object]) -> None:
        payload = json.dumps(frame).encode()
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack(">BH", 0x80 | 126, len(payload))
        self._write(b"\x81" + size + bytes(4) + payload)  # a mask of zeroes changes nothing

    def _write(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]  # uvloop's own class


async def clients(port: int, credentials: Path) -> None:
    """Connect them all, say so, and stay until told to go."""
    loop = asyncio.get_running_loop()
    limit = asyncio.Semaphore(_OPENING_AT_ONCE)

    async def connect(token: str, conversation_id: str) -> None:
        async with limit:
            _, client = await loop.create_connection(
                lambda: Client(f"127.0.0.1:{port}", token, conversation_id), "127.0.0.1", port
            )
            await client.ready

    began = time.monotonic()
    await asyncio.gather(*(connect(*line.split()) for line in credentials.read_text().splitlines()))
    print(f"{time.monotonic() - began:.1f}", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(Client.alive, flush=True)


# -- the measurement --


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK_S


async def people(env: dict[str, str], count: int) -> list[tuple[str, str]]:
    """So many people with a project and a conversation each; their tokens and conversations."""
    pool = await postgres.connect(PostgresSettings.from_env(env))
    tokens = Tokens(TokenSettings.from_env(env))
    now = datetime.now(UTC)
    ids = [(new_id(), new_id(), new_id()) for _ in range(count)]
    async with pool.acquire() as connection:
        await connection.copy_records_to_table(
            "users",
            columns=["id", "email", "display_name"],
            records=[(u, f"{u}@example.org", "Ada") for u, _, _ in ids],
        )
        await connection.copy_records_to_table(
            "projects", columns=["id", "name"], records=[(p, "First") for _, p, _ in ids]
        )
        await connection.copy_records_to_table(
            "project_members", columns=["project_id", "user_id", "role"], records=[(p, u, "owner") for u, p, _ in ids]
        )
        await connection.copy_records_to_table(
            "conversations",
            columns=["id", "project_id", "created_by", "title", "position", "created_at", "updated_at"],
            records=[(c, p, u, "A conversation", 1, now, now) for u, p, c in ids],
        )
    await pool.close()
    return [(tokens.mint(user_id, new_id()), conversation_id) for user_id, _, conversation_id in ids]


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def measure(env: dict[str, str], count: int, idle_s: float, scratch: Path) -> str:
    port, health = free_port(), free_port()
    credentials = scratch / "credentials"
    credentials.write_text("".join(f"{token} {talk}\n" for token, talk in asyncio.run(people(env, count))))
    gateway = subprocess.Popen(
        [sys.executable, "-m", "edge", "gateway"],
        env=env | {"CHORUS_WS_PORT": str(port), "CHORUS_HEALTH_PORT": str(health), "CHORUS_DRAIN_S": "0.1"},
    )
    try:
        while not ready(health):
            assert gateway.poll() is None, "the gateway ended"
            time.sleep(0.1)
        empty = resident_kib(gateway.pid)
        before = cpu_seconds(gateway.pid)
        crowd = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.connections", "--clients", str(port), str(credentials)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        took = float(crowd.stdout.readline())
        joining = cpu_seconds(gateway.pid) - before
        full = resident_kib(gateway.pid)
        idle = cpu_seconds(gateway.pid)
        time.sleep(idle_s)
        idle = cpu_seconds(gateway.pid) - idle
        settled = resident_kib(gateway.pid)
        crowd.stdin.write("\n")
        crowd.stdin.flush()
        alive = int(crowd.stdout.readline())
        crowd.wait()
    finally:
        gateway.terminate()
        gateway.wait()
    return (
        f"{count} connected, authenticated, subscribed clients; {alive} still connected after {idle_s:.0f} s\n"
        f"  joined in {took:.1f} s, with {joining:.1f} s of the gateway's processor time\n"
        f"  memory: {empty / 1024:.0f} MiB empty, {full / 1024:.0f} MiB full, {settled / 1024:.0f} MiB settled: "
        f"{(max(full, settled) - empty) / count:.1f} KiB for each connection\n"
        f"  processor while idle: {idle / idle_s:.3f} cores"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What a connected person costs a gateway.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds of doing nothing")
    parser.add_argument("--scratch", type=Path, default=Path("."), help="folder for the clients' credentials")
    parser.add_argument("--clients", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clients:
        uvloop.run(clients(int(arguments.clients[0]), Path(arguments.clients[1])))
    else:
        print(measure(dict(os.environ), arguments.count, arguments.idle, arguments.scratch))


if __name__ == "__main__":
    main()
