"""`python -m edge gateway|api`: one of the edge's processes, with settings from the environment."""

import sys
from importlib import import_module

ROLES = ("gateway", "api")

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ROLES:
        sys.exit(f"python -m edge {'|'.join(ROLES)}")
    # One process needs nothing of the other's libraries.
    import_module(f"edge.{sys.argv[1]}").main(sys.argv[2:])
