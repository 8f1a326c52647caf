"""Trace context (W3C Trace Context, level 1): one id that follows a message through every process."""

import secrets


def new_traceparent() -> str:
    """A new trace, sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_of(traceparent: str | None) -> str | None:
    """The same trace, one step further; None where there was none."""
    if traceparent is None:
        return None
    version, trace, _parent, flags = traceparent.split("-", 3)
    return f"{version}-{trace}-{secrets.token_hex(8)}-{flags}"
