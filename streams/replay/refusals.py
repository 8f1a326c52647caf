"""Why a replay does not go on."""


class CannotReplay(RuntimeError):
    """It cannot be done, or not now; the message is a sentence for the operator, and nothing live was changed."""
