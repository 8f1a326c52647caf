"""A disk that is full, and then has room again."""

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.conftest import played
from tests.faults.scenario import RETURN_LINE_S, Scene, Settings
from tests.faults.stack import FaultStack, running

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

SIZE = 1536 * 2**20
"""Bytes of each small disk: PostgreSQL's and Kafka's first files, and some minutes of talk. It is memory."""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own in memory, mounted there."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def disks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultStack]:
    """A stack whose brokers and database live on small disks. Redis keeps nothing on any disk."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    data = tmp_path_factory.mktemp("disks") / "data"
    with small_disk(data / "disk-kafka"), small_disk(data / "disk-postgres"):
        async with running(
            data, kafka=data / "disk-kafka" / "kafka", postgres=data / "disk-postgres" / "data"
        ) as stack:
            yield stack


def fill(disk: Path) -> Path:
    """Take all the room that is left; removing the file gives it back."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(bytes(2**20))
                file.flush()
        except OSError:
            pass
    return ballast


@pytest.mark.parametrize("part", ["kafka", "postgres"])
async def test_disk_full(disks: FaultStack, settings: Settings, part: str) -> None:
    """Nothing can be written for 30 seconds; what was acknowledged before is kept, and all goes on afterwards."""

    async def fault(scene: Scene) -> None:
        ballast = fill(disks.data / f"disk-{part}")
        try:
            await scene.lasts(30, at_least=10)
        finally:
            ballast.unlink()
        scene.ended_at = time.monotonic()

    await played(f"disk of {part} full, 30 s", disks, settings, fault, line_s=RETURN_LINE_S)
