"""`chorus up` on real parts: what it says, what it survives, what it refuses. Our own processes stay out of it here."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from infra.kafka import read_partition
from infra.settings import KafkaSettings
from infra.stack import state as states
from tests.running import ROOT, Chorus, eventually, own_settings, port_settings

PARTS = ["kafka", "postgres", "redis"]


@dataclass
class Local(Chorus):
    """A stack that the test itself starts and stops: Kafka, PostgreSQL and Redis."""

    def up(self, *options: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.run("up", "--infrastructure", "--detach", *options, check=check)

    def ensure_up(self) -> None:
        if not self.status()["running"]:
            self.up()

    def shown(self, role: str) -> dict[str, Any]:
        return next(p for p in self.status()["processes"] if p["role"] == role)

    def recorded(self) -> states.StackState:
        """The last state that was written, also by a stack that is gone."""
        state = states.read(self.data)
        assert state is not None
        return state

    async def database(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self.env["CHORUS_DATABASE_URL"])


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    # As deep as no socket file's path may be, and, as pytest makes it, closed to other users.
    data = tmp_path_factory.mktemp("local") / ("deep" * 20) / "data"
    local = Local(own_settings() | port_settings() | {"CHORUS_DATA": str(data)}, data, agent_url="")
    yield local
    local.run("down")


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if states.born(pid) is not None]


def test_up_says_what_it_started_and_down_stops_it(local: Local) -> None:
    """A line for each part with its time, then the address; `status` lists each process; `down` leaves none."""
    local.run("down")

    said = local.up().stdout
    for title in ("Apache Kafka", "PostgreSQL", "Redis"):
        assert f"✓ {title}" in said
    assert "ready in" in said
    assert local.url in said.splitlines()[-1]

    status = local.status()
    assert [p["role"] for p in status["processes"]] == PARTS
    assert {p["state"] for p in status["processes"]} == {"ready"}
    pids = [p["pid"] for p in status["processes"]]
    assert _alive(pids) == pids

    assert local.run("down").stdout == "Stopped.\n"
    eventually("all processes are gone", lambda: not _alive([*pids, status["pid"]]), 5)
    assert local.run("status", check=False).returncode == 1


@pytest.mark.slow
def test_a_second_up_says_that_it_runs(local: Local) -> None:
    """Starting what runs changes nothing, and is no error."""
    local.ensure_up()
    before = local.processes()

    second = local.up()

    assert f"running already: {local.url}" in second.stdout
    assert local.processes() == before


@pytest.mark.slow
@pytest.mark.parametrize("role", PARTS)
def test_a_part_that_dies_is_started_again_and_status_says_so(local: Local, role: str) -> None:
    """A killed part comes back, and whoever asks is told how often and since when."""
    local.ensure_up()
    before = local.shown(role)["restarts"]
    killed = local.kill(role)

    local.ready_again(role, killed)

    shown = local.shown(role)
    assert shown["restarts"] == before + 1
    assert shown["restarted_at"] is not None
    assert "last" in local.run("status").stdout


async def test_data_survives_a_restart(local: Local) -> None:
    """What PostgreSQL and Kafka acknowledged is there after down and up."""
    await asyncio.to_thread(local.ensure_up)
    connection = await local.database()
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (7)")
    await connection.close()
    producer = AIOKafkaProducer(bootstrap_servers=local.env["CHORUS_KAFKA"], acks="all")
    await producer.start()
    told = await producer.send_and_wait("conversation-events", b"kept", partition=5)
    await producer.stop()

    await asyncio.to_thread(local.run, "down")
    await asyncio.to_thread(local.up)

    connection = await local.database()
    assert await connection.fetchval("SELECT max(n) FROM kept") == 7
    await connection.close()
    settings = KafkaSettings(local.env["CHORUS_KAFKA"])
    records = read_partition(settings, "conversation-events", 5, told.offset, told.offset + 1)
    assert [record.value async for record in records] == [b"kept"]


@pytest.mark.slow
async def test_a_killed_supervisor_takes_its_parts_along(local: Local) -> None:
    """SIGKILL of the supervisor leaves no process behind, and the next `up` works on the same data."""
    await asyncio.to_thread(local.ensure_up)
    connection = await local.database()
    await connection.execute("CREATE TABLE IF NOT EXISTS committed (n int); INSERT INTO committed VALUES (1)")
    status = await asyncio.to_thread(local.status)
    pids = [p["pid"] for p in status["processes"]]

    os.kill(status["pid"], signal.SIGKILL)

    await asyncio.to_thread(eventually, "its parts are gone", lambda: not _alive(pids), 15)
    await asyncio.to_thread(local.up)
    connection = await local.database()
    assert await connection.fetchval("SELECT max(n) FROM committed") == 1
    await connection.close()


@pytest.mark.slow
def test_what_a_killed_supervisor_left_is_ended_by_the_next_up(local: Local) -> None:
    """A part that did not follow its supervisor, stopped here so that it cannot, is in nobody's way."""
    local.ensure_up()
    status = local.status()
    redis = local.processes()["redis"][0]
    os.kill(redis, signal.SIGSTOP)
    os.kill(status["pid"], signal.SIGKILL)
    eventually("the others are gone", lambda: _alive([p["pid"] for p in status["processes"]]) == [redis], 15)

    assert "Chorus had been killed; 1 process" in local.run("down").stdout
    assert _alive([redis]) == []
    local.up()


def test_ctrl_c_stops_everything_in_order(local: Local) -> None:
    """SIGINT to a `chorus up` in the foreground: Redis, then PostgreSQL, then Kafka, within 20 s, exit code 0."""
    local.run("down")
    with subprocess.Popen(
        [sys.executable, "-m", "infra.command", "up", "--infrastructure"],
        cwd=ROOT,
        env=local.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        for line in up.stdout:
            if "Chorus is ready" in line:
                break
        pids = [pid for pids in local.processes().values() for pid in pids]
        up.send_signal(signal.SIGINT)
        assert up.wait(20) == 0
        assert up.stdout.read() == "Stopped.\n"

    assert _alive(pids) == []
    parts = local.recorded().parts
    assert [p.role for p in sorted(parts, key=lambda p: p.since)] == ["redis", "postgres", "kafka"]


def _refused(local: Local, *options: str) -> str:
    """The one sentence of an `up` that fails; nothing is left running."""
    done = local.up(*options, check=False)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: ")
    return done.stderr


def test_a_port_in_use_is_named(local: Local) -> None:
    """Which port, for what, and which setting moves it; nothing is started."""
    local.run("down")
    port = int(local.env["CHORUS_REDIS_URL"].split(":")[-1].split("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        said = _refused(local)

    assert f"Port {port} for Redis is in use" in said
    assert "CHORUS_REDIS_URL" in said
    assert not local.status()["running"]


def _damage_postgres(data: Path) -> Callable[[], object]:
    control = data / "postgres" / "global" / "pg_control"
    intact = control.read_bytes()
    control.write_bytes(bytes(len(intact)))
    return lambda: control.write_bytes(intact)


def _damage_kafka(data: Path) -> Callable[[], object]:
    properties = data / "kafka" / "logs" / "meta.properties"
    intact = properties.read_bytes()
    properties.write_bytes(b"node.id=oops\n")
    return lambda: properties.write_bytes(intact)


@pytest.mark.slow
def test_a_damaged_data_folder_is_told(local: Local) -> None:
    """Which part, what it said, and what to do; what had been started is stopped; whole again, it starts again."""
    local.ensure_up()
    local.run("down")
    for title, damage in (("PostgreSQL", _damage_postgres), ("Apache Kafka", _damage_kafka)):
        mend = damage(local.data)
        try:
            said = _refused(local)
        finally:
            mend()

        assert f"{title} ended while starting" in said
        assert "is damaged" in said
        assert "make clean-data" in said
        assert not local.status()["running"]
        assert states.leftovers(local.recorded()) == []
    local.up()


def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    """Who may not write where, and what to do, before anything is made there."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    words = [sys.executable, "-m", "infra.command", "up", "--infrastructure", "--data", str(closed / "data")]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for folder in tmp_path.parents:
            if str(folder).startswith("/tmp/"):  # noqa: S108 - pytest's own folders, which it makes for root alone
                folder.chmod(folder.stat().st_mode | 0o011)
        tmp_path.chmod(0o755)
        words = ["setpriv", f"--reuid={nobody.pw_uid}", "--clear-groups", "--", *words]
    done = subprocess.run(words, cwd=ROOT, env=own_settings(), capture_output=True, text=True)
    if "Traceback" in done.stderr and "infra" not in done.stderr:
        pytest.skip("another user cannot read this checkout")

    assert done.returncode == 1
    assert "cannot be written (Permission denied)" in done.stderr
    assert "--data" in done.stderr


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """How much is free, how much is needed, and what to do."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        local = Local(own_settings() | port_settings() | {"CHORUS_DATA": str(disk / "data")}, disk / "data", "")
        said = _refused(local)
        assert "Only 1" in said
        assert "MB are free" in said
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
        said = _refused(local)
        assert "0 MB are free" in said or "No space left" in said
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_command_line_explains_itself(local: Local) -> None:
    """Every command and option is found from `chorus --help`."""
    commands = local.run("--help").stdout
    for command in ("up", "down", "status", "run", "topics", "migrate"):
        assert command in commands
        assert local.run(command, "--help").stdout.startswith("Usage:")
