"""What clients send, field by field: each type refuses what cannot be stored or shown, before anything is done."""

import re
import unicodedata
from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from edge import passwords
from schemas.frames import MAX_TITLE_CHARACTERS

_LONGEST_EMAIL: Final = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""
_LOCAL_PART: Final = re.compile(r'[^\s@"(),:;<>\[\]\\]{1,64}')
_DOMAIN: Final = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])?")


class Said:
    """What the OpenAPI document says of a type on top: that which a validator of ours refuses."""

    def __init__(self, **schema: Any) -> None:
        self._schema = schema

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | self._schema


_NO_NUL: Final = Said(pattern=r"^[^\x00]*$")
_ONE_LINE: Final = Said(
    minLength=1, pattern=r"^\s*[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?\s*$"
)
_ADDRESS: Final = Said(
    format="email",
    pattern=r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@"
    r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$",
)
"""Narrower than what is taken: other alphabets and spaces around it are forgiven."""


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL, and no encoding half of a surrogate pair, though JSON can carry both."""
    if "\0" in text:
        raise ValueError("may not contain NUL")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("is not Unicode text: half of a surrogate pair")
    return text


def _one_line(text: str) -> str:
    text = unicodedata.normalize("NFC", text.strip())
    if not text:
        raise ValueError("may not be empty")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("must be one line, without control characters")
    return text


def _email(text: str) -> str:
    """One spelling for one address. Case counts in no mailbox that people use."""
    text = unicodedata.normalize("NFKC", text.strip()).lower()
    local, _, domain = text.rpartition("@")
    if len(text) > _LONGEST_EMAIL or not _LOCAL_PART.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise ValueError("is not an e-mail address")
    return text


Text = Annotated[str, AfterValidator(_storable), _NO_NUL]
Name = Annotated[str, Field(max_length=80), AfterValidator(_storable), AfterValidator(_one_line), _ONE_LINE]
Title = Annotated[
    str, Field(max_length=MAX_TITLE_CHARACTERS), AfterValidator(_storable), AfterValidator(_one_line), _ONE_LINE
]
Email = Annotated[
    str,
    Field(max_length=_LONGEST_EMAIL + 20),
    AfterValidator(_storable),
    AfterValidator(_email),
    Said(maxLength=_LONGEST_EMAIL),
    _ADDRESS,
]
NewPassword = Annotated[
    str, Field(min_length=passwords.SHORTEST, max_length=passwords.LONGEST), AfterValidator(_storable), _NO_NUL
]
GivenPassword = Annotated[str, Field(max_length=passwords.LONGEST), AfterValidator(_storable), _NO_NUL]
"""At sign-in: one that is too short is wrong, which is all that anybody needs to know."""
Token = Annotated[str, Field(max_length=512), AfterValidator(_storable), _NO_NUL]
Id = Annotated[
    str,
    Field(
        pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        json_schema_extra={"format": "uuid"},
    ),
    AfterValidator(str.lower),
]
"""A UUID; in canonical form from here on."""

IdInPath = Annotated[Id, Path()]
MAX_PAGE: Final = 200
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before; absent for the first page.")
]


class Body(BaseModel):
    """A JSON object. Fields that nobody knows are ignored: a newer client may send them."""

    model_config = ConfigDict(strict=True)
