"""Run one processor: `python -m streams conversations|replies|history|live|billing|notifications|outbox`, with settings
from the environment; or `… replay …`, which `chorus replay` runs."""

import os
import sys
from importlib import import_module

from infra.settings import BadSetting

ROLES = ("conversations", "replies", "history", "live", "billing", "notifications", "outbox")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["replay"]:
        import_module("streams.replay.command").main(os.environ, arguments[1:])
    if len(arguments) != 1 or arguments[0] not in ROLES:
        sys.exit(f"usage: python -m streams {'|'.join(ROLES)}")
    # Only this role's module: a process loads, and can reach, no more than it needs.
    try:
        import_module(f"streams.workers.{arguments[0]}").main(os.environ)
    except BadSetting as error:
        sys.exit(f"chorus {arguments[0]}: {error}")


main(sys.argv[1:])
