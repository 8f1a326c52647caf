"""Where an operator's command finds what it works on: the environment, else the stack in the data folder."""

import os
from pathlib import Path

from infra.settings import BadSetting
from infra.stack import secrets
from infra.stack import state as states
from infra.stack.part import StackError

_ADDRESSES = {
    "kafka": ("CHORUS_KAFKA", "127.0.0.1:{port}"),
    "postgres": ("CHORUS_DATABASE_URL", "postgresql://chorus@127.0.0.1:{port}/chorus"),
    "redis": ("CHORUS_REDIS_URL", "redis://127.0.0.1:{port}/0"),
}


def environment(data: Path) -> dict[str, str]:
    """Settings for a command: those of the environment, and for what is not set there the addresses and secrets of
    the stack that runs from this data folder, where one does.

    Raises:
        BadSetting: the folder's secrets cannot be read.
    """
    state = states.read(data)
    if state is None or not states.is_held(data):
        return dict(os.environ)
    parts = {part.role: part.port for part in state.parts}
    local = {name: text.format(port=parts[role]) for role, (name, text) in _ADDRESSES.items() if role in parts}
    try:
        local |= secrets.ensure(data)
    except (StackError, OSError) as error:
        raise BadSetting(f"the secrets in {data} cannot be read: {error}") from error
    return local | os.environ
