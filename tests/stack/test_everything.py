"""`chorus up` with all of its processes."""

import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.stack import state as states
from tests.running import CHORUS, ROOT, Chorus, answers_200, own_settings, port_settings

OURS = ("api", "gateway", "conversations", "replies", "history", "live", "billing", "notifications", "outbox")
ROLES = {"kafka", "postgres", "redis", *OURS}


def test_status_lists_every_process_with_a_health_address_that_answers(chorus: Chorus) -> None:
    """Each process of ours is there with pid, port and health, and says itself that it is ready."""
    processes = chorus.status()["processes"]

    assert {p["role"] for p in processes} == ROLES
    assert {p["state"] for p in processes} == {"ready"}
    assert len({p["pid"] for p in processes}) == len(processes)
    ours = [p for p in processes if p["role"] not in ("kafka", "postgres", "redis")]
    assert [p["health"] for p in ours if not answers_200(p["health"])] == []
    assert {p["role"] for p in ours if p["port"]} == {"api", "gateway"}


def test_each_gateway_has_a_port_of_its_own_beside_the_shared_one(chorus: Chorus) -> None:
    """`--gateways 2`: two processes, one port for everybody and one for each."""
    assert len(chorus.processes()["gateway"]) == 2
    for url in (chorus.ws_url, *chorus.gateway_urls):
        port = urlsplit(url).port
        assert port is not None
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


@pytest.mark.slow
def test_any_process_of_ours_that_is_killed_is_healed(chorus: Chorus) -> None:
    """kill -9 of all kinds at once: all of them are back, on the same public ports."""
    before = {role: chorus.kill(role) for role in OURS}

    for role, killed in before.items():
        chorus.ready_again(role, killed)

    assert all(p["restarts"] >= 1 for p in chorus.status()["processes"] if p["role"] in before)
    assert answers_200(f"{chorus.url}/v1/config")


@pytest.mark.slow
def test_a_process_that_cannot_start_is_told_and_everything_is_stopped(tmp_path: Path) -> None:
    """Which one, where its log is, exit code 1, and nothing left running."""
    data = tmp_path / "data"
    env = own_settings() | port_settings() | {"CHORUS_DATA": str(data)}
    # No such address on this machine: no process of ours can open its health port.
    words = [*CHORUS, "up", "--detach", "--agent", "http://127.0.0.1:1/v1"]
    done = subprocess.run(
        words, cwd=ROOT, env=env | {"CHORUS_HEALTH_HOST": "192.0.2.1"}, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 1
    assert "ended while starting (exit code 1" in done.stderr
    log = Path(done.stderr.split("Its log: ")[1].replace("\n", ""))
    assert "192.0.2.1" in log.read_text()
    assert _nothing_runs(data)


def test_ctrl_c_while_starting_stops_what_was_started(tmp_path: Path) -> None:
    """Whoever changes their mind gets their machine back within 20 s."""
    data = tmp_path / "data"
    env = own_settings() | port_settings() | {"CHORUS_DATA": str(data)}
    words = [sys.executable, "-m", "infra.command", "up", "--agent", "http://127.0.0.1:1/v1"]
    with subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        assert "Redis" in up.stdout.readline()
        up.send_signal(signal.SIGINT)
        assert up.wait(20) == 0

    assert _nothing_runs(data)


def _nothing_runs(data: Path) -> bool:
    state = states.read(data)
    return state is not None and states.leftovers(state) == [] and not states.is_held(data)
