"""What becomes of input that can never be handled: it is kept, byte for byte, in `<topic>-dlq`."""

from enum import StrEnum


class Disposition(StrEnum):
    """Why a record is a dead letter; written as header `dlq.disposition`."""

    DECODE = "decode"
    VALIDATION = "validation"
    REJECTED = "rejected"


class DeadLetter(Exception):
    """This record can never be handled, however often it is tried: put it aside and go on.

    Raised by a processor for bad input only. A broken dependency is waited for, a bug is any other exception.
    """

    def __init__(self, reason: str, disposition: Disposition = Disposition.REJECTED) -> None:
        super().__init__(reason)
        self.disposition = disposition
