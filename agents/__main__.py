"""`python -m agents scripted`: the scripted agent's server."""

import argparse
import asyncio
import signal
from pathlib import Path

import uvloop

from agents.script import Manner
from agents.scripted_server import serve


async def _until_a_signal(host: str, port: int, manner: Manner, calls: Path | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await serve(host, port, manner, stopping, calls)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m agents")
    scripted = parser.add_subparsers(required=True).add_parser("scripted", help="an agent that says what it is told to")
    scripted.add_argument("--host", default="127.0.0.1")
    scripted.add_argument("--port", type=int, default=18000, help="0 takes a free one")
    scripted.add_argument("--tokens", type=int, default=Manner().tokens, help="in an answer")
    scripted.add_argument("--delay-ms", type=int, default=Manner().delay_ms, help="from one token to the next")
    scripted.add_argument("--calls", type=Path, metavar="FILE", help="write down each call there")
    given = parser.parse_args()
    uvloop.run(
        _until_a_signal(given.host, given.port, Manner(tokens=given.tokens, delay_ms=given.delay_ms), given.calls)
    )


if __name__ == "__main__":
    main()
