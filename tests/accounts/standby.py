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
    """Follows the primary. Its superuser may log in, as the primary's may until it is closed."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._primary = urlsplit(stack.database_url)
        self._log = folder / "standby.log"
        port = free_port()
        self._part = Postgres(folder / "postgres", port)
        self.url = stack.database_url.replace(f":{self._primary.port}/", f":{port}/")
        self._superuser_of_primary = f"postgresql://postgres@127.0.0.1:{self._primary.port}/postgres"
        self._superuser = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._of_primary = stack.data / "postgres"
        self._closed = (self._of_primary / "pg_hba.conf").read_text()
        self._admit(self._closed + _LET_IN, True)
        asyncio.run(self._may_follow())
        self._copy(folder)
        self.start()
        self.ready()

    def _admit(self, who: str, superuser: bool) -> None:
        """Have the primary let these in, and the superuser or not."""
        (self._of_primary / "pg_hba.conf").write_text(who)
        os.kill(int((self._of_primary / "postmaster.pid").read_text().split()[0]), signal.SIGHUP)
        eventually("it is so", lambda: asyncio.run(self._can(self._superuser_of_primary)) == superuser)

    async def _may_follow(self) -> None:
        connection = await asyncpg.connect(self._superuser_of_primary)
        await connection.execute("ALTER ROLE chorus REPLICATION")
        await connection.close()

    def close(self) -> None:
        """Leave the primary as it was found."""
        self.kill()
        self._admit(self._closed, False)

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
