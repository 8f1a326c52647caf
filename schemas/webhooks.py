"""Signatures of webhooks, as the Standard Webhooks specification (version 1.0.0) has them."""

import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Final

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32
"""The specification wants 24 to 64."""


def new_secret() -> str:
    """A secret, in the form in which receivers take it."""
    return _PREFIX + b64encode(os.urandom(_SECRET_BYTES)).decode()


def headers(secrets: Iterable[str], id: str, at: int, body: bytes) -> dict[str, str]:
    """What goes with a webhook besides its body.

    Args:
        secrets: a signature for each: while one takes the place of another, receivers may know either.
        id: the same however often it is sent; the receiver's way to see that it has it.
        at: when this attempt is made, in Unix seconds.
    """
    signed = b"%b.%d.%b" % (id.encode(), at, body)
    signatures = (hmac.digest(b64decode(secret.removeprefix(_PREFIX)), signed, "sha256") for secret in secrets)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{b64encode(signature).decode()}" for signature in signatures),
    }
