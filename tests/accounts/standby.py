"""A streaming replica of the stack's PostgreSQL, made with PostgreSQL's own tools, as an operator would."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from infra.stack.child import dies_with_parent
from infra.stack.ports import free_port
from infra.stack.postgres import Postgres
from tests.running import DEADLINE_S, Stack, eventually

_LET_IN = "\nhost all postgres 127.0.0.1/32 trust\nhost replication chorus 127.0.0.1/32 trust\n"


class Standby:
    """Follows the primary from `start` on. Its superuser may log in, as the primary's may from then on."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._primary = urlsplit(stack.database_url)
        self._log = folder / "standby.log"
        port = free_port()
        self._part = Postgres(folder / "postgres", port)
        self.url = stack.database_url.replace(f":{self._primary.port}/", f":{port}/")
        self._superuser = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        asyncio.run(self._open_primary(stack.data / "postgres"))
        self._copy(folder)
        self.start()
        self.ready()

    async def _open_primary(self, data: Path) -> None:
        access = data / "pg_hba.conf"
        if _LET_IN not in access.read_text():
            access.write_text(access.read_text() + _LET_IN)
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGHUP)
        url = f"postgresql://postgres@127.0.0.1:{self._primary.port}/postgres"

        def lets_in() -> bool:
            return asyncio.run(self._can(url))

        await asyncio.to_thread(eventually, "the primary has read who may come in", lets_in)
        connection = await asyncpg.connect(url)
        await connection.execute("ALTER ROLE chorus REPLICATION")
        await connection.close()

    async def _can(self, url: str) -> bool:
        try:
            connection = await asyncpg.connect(url, timeout=1)
        except (asyncpg.PostgresError, OSError, TimeoutError):
            return False
        await connection.close()
        return True

    def _copy(self, folder: Path) -> None:
        command = self._part.command()
        server = next(n for n, word in enumerate(command.argv) if word.endswith("/postgres"))
        as_user, tool = command.argv[:server], command.argv[server].replace("/postgres", "/pg_basebackup")
        target = folder / "postgres"
        target.mkdir(mode=0o700)
        if as_user:
            shutil.chown(target, "embedded_postgres", "embedded_postgres")
        source = ["-d", f"postgresql://chorus@127.0.0.1:{self._primary.port}", "-D", str(target)]
        subprocess.run([*as_user, tool, *source, "-R", "-X", "stream", "-c", "fast"], cwd="/", check=True)

    def start(self) -> None:
        """To be called in the main thread: it ends with the thread that began it."""
        command = self._part.command()
        with self._log.open("ab") as file:
            self._process = subprocess.Popen(
                command.argv,
                cwd="/",
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=None if command.sets_death_signal else dies_with_parent(signal.SIGINT),
            )

    def ready(self) -> None:
        """Wait until it lets people in."""
        eventually("the replica lets people in", lambda: asyncio.run(self._can(self.url)))

    def kill(self) -> None:
        """As when its machine is gone: nothing is said to anybody."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    async def stand_still(self, still: bool) -> None:
        """Take in the primary's log, but no longer show what is in it; or go on."""
        connection = await asyncpg.connect(self._superuser)
        await connection.execute(f"SELECT pg_wal_replay_{'pause' if still else 'resume'}()")
        if still:
            deadline = time.monotonic() + DEADLINE_S
            while await connection.fetchval("SELECT pg_get_wal_replay_pause_state()") != "paused":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
        await connection.close()
