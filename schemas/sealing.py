"""Sealed text: what a person wrote, readable only while that person's data key exists.

Topics are kept for ever and shared by key, so a record cannot be taken out of them. Texts are therefore encrypted with
a data key of the person they belong to; destroying the key deletes every text it sealed, in every copy of the log.

The form is `1.<owner>.<base64url(nonce ‖ ciphertext ‖ tag)>`: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce.
The id of the thing that the text belongs to is authenticated with it, so a text cannot be moved to another message.
"""

import hashlib
import hmac
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORM = "1"
_PREFIX = f"{_FORM}."
_OWNER = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class CannotUnseal(ValueError):
    """The text is not in sealed form, was changed, belongs to another thing, or was sealed with another key."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A person's data key, ready to seal and unseal. Its bytes stay out of every log and repr."""

    owner_id: str
    _cipher: AESGCM
    _digest_key: bytes

    @classmethod
    def of(cls, owner_id: str, key: bytes) -> "DataKey":
        """Make a usable key of its 32 bytes.

        Raises:
            ValueError: `key` is not 32 bytes long.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"a data key has {KEY_BYTES} bytes, this one {len(key)}")
        return cls(owner_id, AESGCM(key), hmac.digest(key, b"chorus/digest", "sha256"))

    def __repr__(self) -> str:
        return f"DataKey({self.owner_id})"

    def seal(self, thing_id: str, text: str) -> str:
        """Seal `text` as belonging to `thing_id` (a message's or a conversation's id)."""
        nonce = os.urandom(_NONCE_BYTES)
        box = nonce + self._cipher.encrypt(nonce, text.encode(), thing_id.encode())
        return f"{_FORM}.{self.owner_id}.{urlsafe_b64encode(box).decode()}"

    def unseal(self, thing_id: str, sealed: str) -> str:
        """Open a text that was sealed for `thing_id` with this key.

        Raises:
            CannotUnseal: see there.
        """
        body = _body_at(sealed)
        try:
            box = urlsafe_b64decode(sealed[body:])
            return self._cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], thing_id.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise CannotUnseal(f"text of {thing_id} does not open with the key of {self.owner_id}") from error

    def digest(self, text: str) -> str:
        """A keyed digest that tells two texts apart without opening them, and means nothing without the key."""
        return hmac.new(self._digest_key, text.encode(), hashlib.sha256).hexdigest()[:32]


def owner_of(sealed: str) -> str:
    """Whose key seals this text.

    Raises:
        CannotUnseal: the text is not in sealed form.
    """
    owner = sealed[len(_PREFIX) : _body_at(sealed) - 1]
    if not _OWNER.fullmatch(owner):
        raise CannotUnseal("sealed for nobody: its owner is no id")
    return owner


def _body_at(sealed: str) -> int:
    body = sealed.find(".", len(_PREFIX)) + 1
    if not sealed.startswith(_PREFIX) or not body:
        raise CannotUnseal(f"no sealed text of form {_FORM}")
    return body
