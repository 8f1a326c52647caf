"""The object store: archives and backups, in a folder or in anything that speaks S3."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from infra.settings import BadSetting

_FAILURES = (BaseError, OSError)


class ObjectsError(RuntimeError):
    """The object store does not do what it was asked; the message says where and why."""


class Missing(ObjectsError):
    """There is no such object."""


@dataclass(frozen=True)
class ObjectsSettings:
    place: str
    """A folder, or a URL such as `s3://bucket/folder`. Keys, region and endpoint of an S3 store come from the usual
    `AWS_…` variables (MinIO: `AWS_ENDPOINT_URL`, and `AWS_ALLOW_HTTP=true` where it has no certificate)."""

    @classmethod
    def from_env(cls, env: Mapping[str, str], data: Path) -> "ObjectsSettings":
        """`CHORUS_OBJECTS`, else the folder `objects` in the data folder."""
        return cls(env.get("CHORUS_OBJECTS") or str(data / "objects"))


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as a listing shows it; `size` is in bytes."""

    path: str
    size: int
    modified: datetime


class Objects:
    """Objects by path. A written object is there whole or not at all, whatever ends the writer.

    Calls run in threads: obstore's own coroutines are answered by threads of Rust, and one that is just answering when
    the interpreter ends takes the process down (SIGABRT) after all was well.

    Raises:
        BadSetting: the place cannot be one.
    """

    def __init__(self, settings: ObjectsSettings) -> None:
        self.place = settings.place
        self._folder: Path | None = None
        try:
            if "://" in settings.place:
                self._store: ObjectStore = from_url(settings.place)
            else:
                self._folder = Path(settings.place).resolve()
                self._store = LocalStore(self._folder, mkdir=True, automatic_cleanup=True)
        except (*_FAILURES, ValueError) as error:
            raise BadSetting(f"CHORUS_OBJECTS is {settings.place!r}: {_first_line(error)}") from error

    async def put(self, path: str, content: bytes) -> None:
        """Write an object, in place of the one that is there; returns when it is kept.

        Raises:
            ObjectsError: it is not known to be kept.
        """
        try:
            await asyncio.to_thread(self._store.put, path, content)
            if self._folder is not None:
                await asyncio.to_thread(_settle, self._folder / path)
        except _FAILURES as error:
            raise self._error("cannot write", path, error) from error

    async def get(self, path: str) -> bytes:
        """Read an object.

        Raises:
            Missing: there is none.
            ObjectsError: it cannot be read.
        """
        try:
            return await asyncio.to_thread(lambda: bytes(self._store.get(path).bytes()))
        except FileNotFoundError as error:
            raise Missing(f"{path} is not in {self.place}.") from error
        except _FAILURES as error:
            raise self._error("cannot read", path, error) from error

    async def list(self, prefix: str) -> list[Stored]:
        """The objects below a folder.

        Raises:
            ObjectsError: they cannot be listed.
        """
        try:
            found = await asyncio.to_thread(lambda: [one for chunk in self._store.list(prefix) for one in chunk])
        except _FAILURES as error:
            raise self._error("cannot list", prefix, error) from error
        return [Stored(one["path"], one["size"], one["last_modified"]) for one in found]

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error.

        Raises:
            ObjectsError: some may still be there.
        """
        for path in paths:
            try:
                await asyncio.to_thread(self._store.delete, path)
            except FileNotFoundError:
                pass
            except _FAILURES as error:
                raise self._error("cannot delete", path, error) from error

    def _error(self, what: str, path: str, error: Exception) -> ObjectsError:
        return ObjectsError(f"{what} {path} in {self.place}: {_first_line(error)}")


def _settle(path: Path) -> None:
    """Have the kernel write a file, and its name, to the disk: what is archived may be removed from the log."""
    for place in (path, path.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
