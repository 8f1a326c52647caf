"""What reaches beyond our own projections: agents that are called, records that are published, tokens that are told.

A process that must not do any of it says so once, at its start, and from then on none of these can be begun.
"""

_why: str | None = None


class EffectForbidden(RuntimeError):
    """A process that may have no effect was about to have one: a bug."""


def forbid(why: str) -> None:
    """From now on, and for as long as this process lives, nothing here may have an effect."""
    global _why
    _why = why


def check(what: str) -> None:
    """Called wherever an effect begins.

    Raises:
        EffectForbidden: `forbid` was called.
    """
    if _why is not None:
        raise EffectForbidden(f"{what} in {_why}")
