"""`chorus up`: check that it can be done, put the parts together, run them until told to stop."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic.util.exc import CommandError
from confluent_kafka import KafkaException
from sqlalchemy.exc import SQLAlchemyError

from infra import logs
from infra.kafka import create_topics
from infra.migrations import migrate
from infra.postgres import AWAY
from infra.settings import KafkaSettings, PostgresSettings
from infra.stack import secrets
from infra.stack import state as states
from infra.stack.config import StackConfig
from infra.stack.kafka import Kafka
from infra.stack.model import Model
from infra.stack.part import Part, StackError, Step
from infra.stack.ports import is_free
from infra.stack.postgres import Postgres
from infra.stack.processes import OurProcess
from infra.stack.redis import Redis
from infra.stack.state import StackState
from infra.stack.supervisor import Supervisor, end_leftovers

FREE_BYTES = 512 * 1024 * 1024
"""Room that a new stack takes within its first hour (PostgreSQL's and Kafka's first files), with some to spare."""


def check_folder(data: Path) -> None:
    """Make the data folder, and see that it can be used.

    Raises:
        StackError: it cannot.
    """
    try:
        data.mkdir(mode=0o755, parents=True, exist_ok=True)
        (data / "logs").mkdir(exist_ok=True)
        probe = data / "writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise StackError(
            f"The data folder {data} cannot be written ({error.strerror}): "
            f"give this user the right to, or name another folder with --data."
        ) from error
    free = shutil.disk_usage(data).free
    if free < FREE_BYTES:
        raise StackError(
            f"Only {free // 2**20} MB are free on the disk of {data}, and {FREE_BYTES // 2**20} MB are needed: "
            "free some, or name a folder on another disk with --data."
        )


def check_ports(config: StackConfig) -> None:
    """See that everything can listen where it should.

    Raises:
        StackError: something else listens there.
    """
    for what, (port, setting) in config.listening().items():
        if not is_free(port):
            raise StackError(f"Port {port} for {what} is in use: stop what listens there, or set {setting}.")


def assemble(config: StackConfig, env: dict[str, str], processes: bool) -> tuple[list[list[Part]], list[Step]]:
    """The parts, tier by tier in the reverse order of stopping, and the steps between them."""
    tiers: list[list[Part]] = [
        [Kafka(config.data / "kafka", config.kafka_port)],
        [Postgres(config.data / "postgres", config.postgres_port)],
        [Redis(config.data / "redis", config.redis_port)],
    ]
    steps = [
        Step("migrations", "database schema", ("postgres",), lambda: _migrate(PostgresSettings.from_env(env))),
        Step("topics", "topics", ("kafka",), lambda: _create_topics(KafkaSettings.from_env(env))),
    ]
    if processes:
        if config.agent_url is None:
            tiers.append([Model(config.model_port)])
        tiers.append(our_processes(config, env))
    return tiers, steps


def _migrate(settings: PostgresSettings) -> None:
    try:
        migrate(settings)
    except (CommandError, SQLAlchemyError, *AWAY) as error:
        raise StackError(
            f"The database's schema cannot be brought up to date: {error} "
            "Its data may be of a newer version than this code: get that version, or `make clean-data` to lose it."
        ) from error


def _create_topics(settings: KafkaSettings) -> None:
    try:
        create_topics(settings)
    except KafkaException as error:
        raise StackError(f"Kafka's topics cannot be made: {error.args[0].str()}.") from error


def our_processes(config: StackConfig, env: dict[str, str]) -> list[Part]:
    """One of each role, and as many gateways as asked for on one shared port."""
    gateways: list[Part] = []
    for n in range(config.gateways):
        own = {} if config.ws_extra_port is None else {"CHORUS_WS_EXTRA_PORT": str(config.ws_extra_port + n)}
        gateways.append(OurProcess("gateway", n, env | own, port=config.ws_port))
    roles = ("conversations", "replies", "history", "live", "billing", "notifications", "outbox")
    rest = [OurProcess(role, 0, env) for role in roles]
    return [OurProcess("api", 0, env, port=config.http_port), *gateways, *rest]


async def run(
    config: StackConfig,
    *,
    processes: bool,
    report: Callable[[Part | Step, float], None],
    on_ready: Callable[[float], None],
) -> list[str]:
    """Run the stack until SIGTERM or SIGINT, then stop it; the data folder must be held.

    Args:
        processes: our own processes and the model too, not only Kafka, PostgreSQL and Redis.
        on_ready: told, when everything is ready, how many seconds that took.

    Returns:
        the names of the parts that had to be killed because they did not stop in time.

    Raises:
        StackError: it cannot start; what was started is stopped again.
    """
    began = time.monotonic()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)

    earlier = states.read(config.data)
    if earlier is not None:
        end_leftovers(earlier)
    check_ports(config)
    logs.configure("supervisor", os.environ.get("CHORUS_LOG_LEVEL", "info"), str(config.logs))
    env = config.environment() | secrets.ensure(config.data)
    tiers, steps = assemble(config, env, processes)
    state = StackState(os.getpid(), states.born(os.getpid()) or 0, time.time(), config.url, config.ws_url, [])
    supervisor = Supervisor(tiers, steps, state, config.data, config.logs, report)
    told = asyncio.create_task(stopping.wait())
    starting = asyncio.create_task(supervisor.start())
    try:
        await asyncio.wait([told, starting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            on_ready(time.monotonic() - began)
            ends: list[asyncio.Future[Any]] = [told, supervisor.broken]
            for end in (await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED))[0]:
                end.result()
    finally:
        starting.cancel()
        await asyncio.wait([starting])
        killed = await supervisor.stop()
    return killed
