"""Passwords as Argon2id hashes (RFC 9106), made in a few threads so that sign-ins never hold up the loop."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from edge.errors import Refused
from schemas.frames import ErrorCode

T = TypeVar("T")

SHORTEST: Final = 8
LONGEST: Final = 256
"""Characters: a limit only so that nobody makes us hash a megabyte."""

_MEMORY_KIB: Final = 19_456
_PASSES: Final = 2
"""19 MiB and two passes with one lane: OWASP's advice for Argon2id; about 20 ms of one core."""
_THREADS: Final = 2
_MOST_WAITING: Final = 100
"""Beyond these, who comes is told to try again: about two seconds of work, as long as anybody would wait."""


class Passwords:
    """Hashes and checks passwords. Both raise `Refused` (`unavailable`) when too many are waiting."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(
            time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
        )
        self._threads = ThreadPoolExecutor(_THREADS, "passwords")
        self._waiting = 0
        # Checked in place of the hash that an unknown person does not have, so that both take the same time.
        self._nobodys = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        return await self._in_thread(lambda: self._hasher.hash(_normal(password)))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether it is the password of this hash; never for None, after the same time."""

        def check() -> bool:
            try:
                self._hasher.verify(self._nobodys if stored is None else stored, _normal(password))
            except (VerifyMismatchError, InvalidHashError):
                return False
            return stored is not None

        return await self._in_thread(check)

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made at another cost than new ones are."""
        return self._hasher.check_needs_rehash(stored)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Refused(ErrorCode.UNAVAILABLE, "Too many sign-ins at once.", retry_after_ms=2_000)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _normal(password: str) -> str:
    """One spelling for what looks the same: keyboards differ in how they compose "ế" (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
