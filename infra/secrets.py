"""Secrets that people give us to use for them: sealed under the master key, opened only where they are used."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infra.settings import SealingSettings

_NONCE_BYTES = 12


class UnusableSecret(Exception):
    """It was sealed under another master key, or for another thing."""


class Secrets:
    """AES-256-GCM with a nonce for each secret; bound to what it belongs to, so that it opens nowhere else."""

    def __init__(self, settings: SealingSettings) -> None:
        self._key = settings.master_key
        self._master = AESGCM(settings.master_key)

    def under(self, word: str) -> "Secrets":
        """Secrets that nobody opens without this word either: not even who has the master key."""
        derived = HKDF(hashes.SHA256(), len(self._key), salt=None, info=f"secret under/{word}".encode())
        return Secrets(SealingSettings(derived.derive(self._key)))

    def seal(self, of: str, secret: str) -> bytes:
        """`of` is the id of what it belongs to."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._master.encrypt(nonce, secret.encode(), _bound(of))

    def open(self, of: str, box: bytes) -> str:
        """Raises `UnusableSecret`."""
        try:
            return self._master.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], _bound(of)).decode()
        except (InvalidTag, ValueError) as error:
            raise UnusableSecret from error


def _bound(of: str) -> bytes:
    # Another word than those of data keys, which the master key wraps, too.
    return f"secret/{of}".encode()
