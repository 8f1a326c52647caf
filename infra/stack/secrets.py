"""The stack's own secrets: made once, kept in the data folder, readable by its owner alone."""

import os
import secrets
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from infra.stack.part import StackError


def ensure(data: Path) -> dict[str, str]:
    """The secrets of the stack in this folder, as settings for its processes; made where there are none.

    Raises:
        StackError: there is data, but the key that opens it is gone.
    """
    folder = data / "secrets"
    master, token = folder / "master-key", folder / "jwt-secret"
    if not master.exists() and (data / "postgres").exists():
        raise StackError(
            f"The key of the texts in {data} is missing: put {master} back from a backup, "
            "or lose all conversations and start anew with `make clean-data`."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "CHORUS_MASTER_KEY": _once(master, lambda: b64encode(secrets.token_bytes(32)).decode()),
        "CHORUS_JWT_SECRET": _once(token, lambda: secrets.token_urlsafe(48)),
        "CHORUS_JWT_KID": "local",
    }


def _once(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        new = path.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(make() + "\n")
        new.replace(path)
    return path.read_text().strip()
