"""Trace context (W3C Trace Context, level 1): one id that follows a message through every process."""

import re
import secrets

_TRACEPARENT = re.compile("(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})")


def new_traceparent() -> str:
    """A new trace, sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_of(traceparent: str | None) -> str | None:
    """The same trace, one step further; None where there was none that can be read."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return None if found is None else f"{found['version']}-{found['trace']}-{secrets.token_hex(8)}-{found['flags']}"
