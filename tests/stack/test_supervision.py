"""What the supervisor decides, and what it needs to know; no part runs."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import BadSetting
from infra.stack import secrets
from infra.stack.child import BoundedLog, Child
from infra.stack.config import StackConfig
from infra.stack.part import Command, Part, StackError, telling_line
from infra.stack.state import PartState, StackState, born, leftovers
from infra.stack.supervisor import restart_delay


def test_a_part_that_dies_is_started_at_once_then_ever_slower() -> None:
    """The first restart costs nothing; a part that dies again and again does not eat the machine."""
    assert [restart_delay(deaths) for deaths in range(1, 9)] == [0, 0.5, 1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("lines", "telling"),
    [
        pytest.param([], "", id="it wrote nothing"),
        pytest.param(["starting", "bye", ""], "bye", id="no failure: the last line"),
        pytest.param(["FATAL: no such file", "LOG: shut down"], "FATAL: no such file", id="PostgreSQL"),
        pytest.param(
            ["ERROR Exiting Kafka (kafka.Kafka$)", "\tat java.lang"], "ERROR Exiting Kafka (kafka.Kafka$)", id="Java"
        ),
        pytest.param(["Traceback", "  File x", "KeyError: 'y'"], "KeyError: 'y'", id="Python"),
    ],
)
def test_the_line_that_says_why_is_found(lines: list[str], telling: str) -> None:
    """Of all that a part wrote before it ended, people see the line that says why."""
    assert telling_line(lines) == telling


def test_a_log_never_outgrows_its_bound(tmp_path: Path) -> None:
    """Two files of the bound are kept, whatever is written; the newest lines are in them."""
    log = BoundedLog(tmp_path / "part.out", max_bytes=1000)
    for number in range(1000):
        log.write(f"line {number}\n".encode())

    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"part.out", "part.out.1"}
    assert max(sizes.values()) <= 1000
    assert (tmp_path / "part.out").read_text().endswith("line 999\n")


class Talker(Part):
    """Prints more than a pipe holds, then ends."""

    role = name = title = "talker"

    def command(self) -> Command:
        code = "[print('y' * 1000) for _ in range(1000)]; print('done')"
        return Command([sys.executable, "-c", code], dict(os.environ), cwd=Path("/"))

    async def ready(self) -> bool:
        return True


async def test_a_part_does_not_wait_for_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """On a full disk a part goes on: what it prints is taken from it, though it is kept nowhere."""
    (tmp_path / "talker.out").symlink_to("/dev/full")
    child = await Child.start(Talker(), tmp_path)

    async with asyncio.timeout(20):
        assert await child.wait() == 0
    assert child.tail[-1] == "done"


def _state(pid: int, born_at: int | None) -> StackState:
    part = PartState("redis", "redis", 1, pid=pid, born=born_at)
    return StackState(pid=1, born=1, started=0.0, url="", ws_url="", parts=[part])


def test_only_what_the_stack_started_is_taken_for_left_over() -> None:
    """A process number that the kernel has given to somebody else is left alone."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        there = born(other.pid)
        assert there is not None
        assert leftovers(_state(other.pid, there)) == [other.pid]
        assert leftovers(_state(other.pid, there - 1)) == []
        other.kill()
    assert leftovers(_state(other.pid, there)) == []


def test_settings_move_every_port() -> None:
    """Several stacks live on one machine: the settings of the processes say where each of them listens."""
    env = {
        "CHORUS_KAFKA": "127.0.0.1:1001",
        "CHORUS_DATABASE_URL": "postgresql://chorus@localhost:1002/chorus",
        "CHORUS_REDIS_URL": "redis://127.0.0.1:1003/0",
        "CHORUS_HTTP_PORT": "1004",
        "CHORUS_WS_PORT": "1005",
        "CHORUS_MODEL_PORT": "1006",
        "CHORUS_WS_EXTRA_PORT": "1007",
    }
    config = StackConfig.from_env(env, Path("data"), gateways=2)

    assert sorted(port for port, _ in config.listening().values()) == list(range(1001, 1009))
    assert config.url == "http://127.0.0.1:1004"
    told = config.environment()
    assert told["CHORUS_KAFKA"] == "127.0.0.1:1001"
    assert told["CHORUS_AGENT_URL"] == "http://127.0.0.1:1006/v1"
    assert told["CHORUS_WS_URL"] == "ws://127.0.0.1:1005/v1/ws"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHORUS_HTTP_PORT", "eighty"),
        ("CHORUS_WS_PORT", "70000"),
        ("CHORUS_KAFKA", "kafka.example:9092"),
        ("CHORUS_DATABASE_URL", "postgresql://chorus@127.0.0.1/chorus"),
    ],
)
def test_a_setting_that_cannot_be_kept_is_refused_by_name(name: str, value: str) -> None:
    """Nothing starts on another port than the one that was asked for."""
    with pytest.raises(BadSetting, match=f"{name} is '{value}'"):
        StackConfig.from_env({name: value}, Path("data"))


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    """The keys stay the same from start to start, and only their owner can read them."""
    first, second = secrets.ensure(tmp_path), secrets.ensure(tmp_path)

    assert first == second
    assert first["CHORUS_MASTER_KEY"] != secrets.ensure(tmp_path / "other")["CHORUS_MASTER_KEY"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_data_without_its_key_is_not_started(tmp_path: Path) -> None:
    """A new key would make every stored text unreadable without a word: the loss is told instead."""
    secrets.ensure(tmp_path)
    (tmp_path / "postgres").mkdir()
    os.remove(tmp_path / "secrets" / "master-key")

    with pytest.raises(StackError, match="master-key back from a backup"):
        secrets.ensure(tmp_path)
