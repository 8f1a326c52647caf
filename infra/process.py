"""Run one process: settings, logs, signals, and the port that says how it is."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from infra import logs
from infra.settings import BadSetting, ProcessSettings

log = structlog.get_logger(__name__)

_ready = Gauge("chorus_ready", "1 while the process is ready to serve, as /readyz says")
_disk_free = Gauge("chorus_disk_free_bytes", "Room on the disk of the log folder: on one machine, of everything")


@dataclass
class Process:
    """What a process' main gets to live with.

    Attributes:
        stopping: set by SIGTERM or SIGINT; the main then finishes in its own time and returns.
        not_ready: why the process is not ready to serve, or None when it is; the main replaces it.
    """

    settings: ProcessSettings
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    not_ready: Callable[[], str | None] = lambda: "starting"


def run(role: str, settings: ProcessSettings, main: Callable[[Process], Awaitable[None]]) -> None:
    """Run `main` until it returns; exit code 0, or 1 where it raised."""
    logs.configure(settings.instance, settings.log_level, settings.log_dir)
    try:
        uvloop.run(_serve(role, settings, main))
    except BadSetting as error:
        sys.exit(f"chorus {role}: {error}")
    except Exception:
        log.exception("process failed", role=role)
        sys.exit(1)


async def _serve(role: str, settings: ProcessSettings, main: Callable[[Process], Awaitable[None]]) -> None:
    process = Process(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stopping.set)
    runner = web.AppRunner(_health(process), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, settings.health_host, settings.health_port)
    await site.start()
    log.info("process started", role=role, health=runner.addresses[0][1])
    try:
        await main(process)
    finally:
        await runner.cleanup()
    log.info("process stopped", role=role)


def _health(process: Process) -> web.Application:
    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        reason = "stopping" if process.stopping.is_set() else process.not_ready()
        return web.Response(text=f"{reason or 'ok'}\n", status=503 if reason else 200)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    _ready.set_function(lambda: process.not_ready() is None and not process.stopping.is_set())
    if (folder := process.settings.log_dir) is not None:
        _disk_free.set_function(lambda: shutil.disk_usage(folder).free)
    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app
