"""Everything that `chorus up` runs, by the same supervisor, with a proxy in front of each thing depended upon."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.kafka import create_topics
from infra.migrations import migrate
from infra.settings import KafkaSettings, PostgresSettings
from infra.stack import secrets
from infra.stack.child import dies_with_parent
from infra.stack.config import StackConfig
from infra.stack.kafka import Kafka
from infra.stack.part import Command, Part, Step, healthy
from infra.stack.ports import free_port, is_free
from infra.stack.postgres import Postgres
from infra.stack.processes import PACKAGE_OF, OurProcess
from infra.stack.redis import Redis
from infra.stack.state import StackState, born
from infra.stack.supervisor import Supervisor
from tests.faults.proxy import Proxy
from tests.running import ROOT, own_settings

GATEWAYS = 2
PROCESSORS = ("conversations", "replies", "history", "live", "billing", "notifications")


class Broker(Kafka):
    """A broker whose clients go through a proxy: they follow what it advertises, so it advertises the proxy.

    Args:
        proxy: the port that it tells clients to come to.
        direct: a port of its own for those who watch what faults do, and for other brokers.
        controllers: the controllers' ports of the whole cluster, this broker's at `number`.
    """

    def __init__(
        self, folder: Path, port: int, proxy: int, direct: int, controllers: Sequence[int], number: int = 0
    ) -> None:
        super().__init__(folder, port)
        self.proxy = proxy
        self.direct = direct
        self.controllers = controllers
        self.number = number
        if len(controllers) > 1:
            self.name = f"kafka-{number}"
            self.title = f"Apache Kafka {number + 1}"

    def configuration(self) -> str:
        copies = len(self.controllers)
        controller = self.controllers[self.number]
        ours = {
            "node.id": str(self.number + 1),
            "controller.quorum.voters": ",".join(f"{n + 1}@127.0.0.1:{p}" for n, p in enumerate(self.controllers)),
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},DIRECT://127.0.0.1:{self.direct},"
            f"CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.proxy},DIRECT://127.0.0.1:{self.direct}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "DIRECT",
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(max(1, copies - 1)),
            "share.coordinator.state.topic.replication.factor": str(copies),
            "min.insync.replicas": str(max(1, copies - 1)),
            # The others take over what a dead broker led once its session is over: Kafka's 9 s would be all there is.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
        }
        kept = (line for line in super().configuration().splitlines() if line.partition("=")[0] not in ours)
        return "\n".join([*kept, *(f"{name}={value}" for name, value in ours.items()), ""])


class ScriptedAgent(Part):
    """The scripted agent, which writes down each call."""

    role = name = "agent"
    title = "scripted agent"

    def __init__(self, port: int, calls: Path) -> None:
        self.port = port
        self._calls = calls

    def command(self) -> Command:
        argv = [sys.executable, "-m", "agents", "scripted", "--port", str(self.port), "--calls", str(self._calls)]
        return Command(argv, own_settings(), cwd=ROOT)

    async def ready(self) -> bool:
        return await healthy(self.port, "/health")


class FaultStack:
    """Must be made inside the running event loop, which carries the proxies and supervises the parts.

    Args:
        kafka: the broker's folder, and `postgres` the database's; by default both are in `data`.

    Attributes:
        proxies: by what is behind them: `kafka` (`kafka-0`, `kafka-1`, … where there are several), `postgres`, `redis`,
            `agent`.
        settings: by the name of each process of ours, its environment from its next start on.
        env: the environment of a process of ours, for whatever is started beside them.
        direct: the same, past the proxies: for who watches what faults do.
        calls: the file in which the agent writes down each call.
    """

    def __init__(
        self, data: Path, brokers: int = 1, *, kafka: Path | None = None, postgres: Path | None = None
    ) -> None:
        self.data = data
        names = ["kafka"] if brokers == 1 else [f"kafka-{n}" for n in range(brokers)]
        first = _own_ports(8 + GATEWAYS + 4 * brokers)
        ports = itertools.count(first)
        redis, database, agent, agent_proxy = (next(ports) for _ in range(4))
        direct, controllers, kafka_proxies = ([next(ports) for _ in range(brokers)] for _ in range(3))
        gateways = [next(ports) for _ in range(GATEWAYS)]
        config = StackConfig(
            data=data,
            http_port=next(ports),
            ws_port=next(ports),
            kafka_port=kafka_proxies[0],
            postgres_port=next(ports),
            redis_port=next(ports),
            ws_extra_port=gateways[0],
            gateways=GATEWAYS,
            agent_url=f"http://127.0.0.1:{agent_proxy}/v1",
            agent_model="scripted",
        )
        for folder in (data, config.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.calls = data / "calls.jsonl"
        self.calls.touch()
        self.url = config.url
        self.gateway_urls = [f"ws://127.0.0.1:{port}/v1/ws" for port in gateways]
        kafkas = [
            Broker(kafka or data / name, next(ports), kafka_proxies[n], direct[n], controllers, n)
            for n, name in enumerate(names)
        ]
        for broker in kafkas:
            broker.cluster = kafkas[0].cluster
        self.proxies = {
            "postgres": Proxy("postgres", config.postgres_port, database),
            "redis": Proxy("redis", config.redis_port, redis),
            "agent": Proxy("agent", agent_proxy, agent),
            **{name: Proxy(name, broker.proxy, broker.port) for name, broker in zip(names, kafkas, strict=True)},
        }
        self.env = own_settings() | config.environment() | secrets.ensure(data)
        self.env["CHORUS_KAFKA"] = ",".join(f"127.0.0.1:{port}" for port in kafka_proxies)
        self.env["CHORUS_KAFKA_REPLICATION"] = str(brokers)
        self.direct = self.env | {
            "CHORUS_KAFKA": ",".join(f"127.0.0.1:{port}" for port in direct),
            "CHORUS_DATABASE_URL": f"postgresql://chorus@127.0.0.1:{database}/chorus",
            "CHORUS_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
        }
        self.settings: dict[str, dict[str, str]] = {}
        ours = [self._process("api", 0, config.http_port)]
        for n, port in enumerate(gateways):
            ours.append(self._process("gateway", n, config.ws_port))
            self.settings[f"gateway-{n}"]["CHORUS_WS_EXTRA_PORT"] = str(port)
        ours += [self._process(role, 0) for role in (*PROCESSORS, "outbox")]
        tiers: list[list[Part]] = [
            [*kafkas],
            [Postgres(postgres or data / "postgres", database)],
            [Redis(data / "redis", redis)],
            [ScriptedAgent(agent, self.calls)],
            [*ours],
        ]
        steps = [
            Step("migrations", "schema", ("postgres",), lambda: migrate(PostgresSettings.from_env(self.direct))),
            Step("topics", "topics", tuple(names), lambda: create_topics(KafkaSettings.from_env(self.direct))),
        ]
        self._state = StackState(os.getpid(), born(os.getpid()) or 0, time.time(), config.url, config.ws_url, [])
        self._supervisor = Supervisor(tiers, steps, self._state, data, config.logs, lambda _what, _seconds: None)
        self._extras: dict[str, subprocess.Popen[bytes]] = {}

    def _process(self, role: str, number: int, port: int = 0) -> OurProcess:
        env = self.settings[f"{role}-{number}"] = dict(self.env)
        return OurProcess(role, number, env, port)

    @property
    def bootstrap(self) -> str:
        """The brokers, past the proxies."""
        return self.direct["CHORUS_KAFKA"]

    async def start(self) -> None:
        for proxy in self.proxies.values():
            await proxy.open()
        await self._supervisor.start()

    async def stop(self) -> None:
        for name in list(self._extras):
            await self.dismiss(name)
        await self._supervisor.stop()
        for proxy in self.proxies.values():
            await proxy.close()

    # -- processes --

    def pids(self, role: str) -> list[int]:
        """Of the processes of a role, or with a name, that live."""
        return [part.pid for part in self._state.parts if role in (part.role, part.name) and part.pid]

    def kill(self, role: str, number: signal.Signals) -> list[int]:
        """Send a signal to all processes of a role, or the one with a name; their pids."""
        pids = self.pids(role)
        assert pids, f"no {role} runs"
        for pid in pids:
            os.kill(pid, number)
        return pids

    def family(self, role: str) -> list[int]:
        """The processes of a role and their children, such as PostgreSQL's sessions."""
        pids = self.pids(role)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) in pids:
                    pids.append(int(stat.parent.name))
        return pids

    @staticmethod
    def send(pids: Sequence[int], number: signal.Signals) -> None:
        """Send a signal to processes, where they still live."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def is_in_sync(self) -> bool:
        """Is every partition's every copy up to date?"""
        try:
            topics = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(timeout=5).topics
        except KafkaException:
            return False
        return all(
            len(partition.isrs) == len(partition.replicas)
            for topic in topics.values()
            for partition in topic.partitions.values()
        )

    def is_ready(self, role: str, but: Sequence[int] = ()) -> bool:
        """Are all processes of the role ready, none of them one of `but`?"""
        parts = [part for part in self._state.parts if role in (part.role, part.name)]
        return all(part.state == "ready" and part.pid not in but for part in parts)

    def all_ready(self) -> bool:
        return all(part.state == "ready" for part in self._state.parts)

    def restarts(self) -> dict[str, int]:
        """How often each part was started again so far."""
        return {part.name: part.restarts for part in self._state.parts}

    def join(self, role: str, number: int, **settings: str) -> None:
        """Start another worker beside the supervised ones; nobody starts it again."""
        name = f"{role}-{number}"
        own = {"CHORUS_INSTANCE": name, "CHORUS_HEALTH_PORT": str(free_port())}
        with (self.data / "logs" / f"{name}.out").open("ab") as output:
            self._extras[name] = subprocess.Popen(
                [sys.executable, "-m", PACKAGE_OF[role], role],
                cwd=ROOT,
                env=self.env | own | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )

    async def dismiss(self, name: str) -> None:
        """End a worker that joined, in order."""
        process = self._extras.pop(name)
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 15)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


def _own_ports(count: int) -> int:
    """The first of so many free ports in a row, below those that the kernel gives to outgoing connections: what was
    killed must find its port again."""
    while True:
        first = random.randrange(20_000, 32_000)
        if all(is_free(port) for port in range(first, first + count)):
            return first


@asynccontextmanager
async def running(data: Path, **how: Any) -> AsyncIterator[FaultStack]:
    """A `FaultStack(data, **how)` that is ready, until the end of the block."""
    stack = FaultStack(data, **how)
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()
