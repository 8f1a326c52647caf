"""Real parts for tests. Nothing here starts before a test asks for it.

`stack`        Kafka, PostgreSQL and Redis, once for the whole run (tests.running.Stack): start single processes
               of ours against it with `start_process`, or use the clients of `infra` with `stack.env`.
`start_process` `await start_process("streams", "history")` → a ready tests.running.Running; ended after the test.
`chorus`       everything, by `chorus up`, once for the whole run (tests.running.Chorus): URLs, pids by role, `kill`.
`scripted_agent` the scripted agent's URL (`…/v1`), once for the whole run.
"""

import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from infra.stack import secrets
from infra.stack.child import dies_with_parent
from infra.stack.config import StackConfig
from infra.stack.ports import free_port
from tests.running import (
    ROOT,
    Chorus,
    Running,
    Stack,
    answers_200,
    eventually,
    own_settings,
    port_settings,
    up,
)

StartProcess = Callable[..., Awaitable[Running]]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, PostgreSQL (migrated) and Redis on free ports, topics made; shared by the whole run."""
    data = tmp_path_factory.mktemp("stack")
    env = own_settings() | port_settings() | {"CHORUS_DATA": str(data)}
    with up(env, "--infrastructure"):
        config = StackConfig.from_env(env, data)
        settings = own_settings() | config.environment() | secrets.ensure(data)
        del settings["CHORUS_LOG_DIR"]
        # All tests and all their processes are one address, and count together.
        settings |= {"CHORUS_SIGN_UPS_PER_MINUTE": "6000", "CHORUS_FAILED_SIGN_INS_PER_MINUTE": "600"}
        yield Stack(settings, data)


@pytest.fixture
def start_process(stack: Stack) -> Iterator[StartProcess]:
    """Start a process of ours against `stack` and wait until it is ready; it is ended after the test."""
    first = len(stack.started)

    async def start(package: str, role: str, *arguments: str, **settings: str) -> Running:
        return await stack.start(package, role, *arguments, **settings).ready()

    yield start
    for running in stack.started[first:]:
        if running.process.poll() is None:
            running.kill(signal.SIGKILL)
        running.process.wait()


@pytest.fixture(scope="session")
def scripted_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The scripted agent, serving OpenAI's API; its base URL, ending in `/v1`."""
    port = free_port()
    output = tmp_path_factory.mktemp("agent") / "scripted.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents", "scripted", "--port", str(port)],
            cwd=ROOT,
            env=own_settings(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(signal.SIGKILL),
        )

    def is_ready() -> bool:
        assert process.poll() is None, f"the scripted agent ended:\n{output.read_text()}"
        return answers_200(f"http://127.0.0.1:{port}/health")

    try:
        eventually("the scripted agent is ready", is_ready)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def chorus(tmp_path_factory: pytest.TempPathFactory, scripted_agent: str) -> Iterator[Chorus]:
    """Everything, as `chorus up --gateways 2` runs it, answered by the scripted agent; shared by the whole run."""
    data = tmp_path_factory.mktemp("chorus")
    env = own_settings() | port_settings() | {"CHORUS_DATA": str(data)}
    with up(env, "--gateways", "2", "--agent", scripted_agent, "--model", "scripted"):
        yield Chorus(env, data, scripted_agent)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT
