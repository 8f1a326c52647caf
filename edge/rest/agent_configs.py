"""What an agent's configuration may say, field by field, and what of it is stored and shown."""

import asyncio
import re
import socket
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge.errors import invalid
from edge.rest.fields import Text
from infra.addresses import is_public

_RESOLVE_WITHIN_S: Final = 2.0
_FORBIDDEN_IN_SECRETS: Final = re.compile(r"[^\x21-\x7e]")
_SHOWN: Final = ("kind", "model", "system_prompt", "params", "context_messages", "context_tokens", "timeouts", "tokens",
                 "delay_ms")  # fmt: skip
"""What is shown as it is stored: chosen, not filtered, so that a secret added later stays inside."""


class Strict(BaseModel):
    """Unlike other bodies it refuses what nobody knows: a misspelled parameter would be one that does nothing."""

    model_config = ConfigDict(extra="forbid")


def _url(text: str) -> str:
    parts = urlsplit(text)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\\]", text):
        raise ValueError("must be an address as https://host/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("may not hold a user name or password: give them as the secret")
    if parts.query or parts.fragment:
        raise ValueError("may not have a query or a fragment")
    return text.rstrip("/")


def _secret(text: str) -> str:
    if not text or _FORBIDDEN_IN_SECRETS.search(text):
        raise ValueError("must be visible ASCII characters, without spaces")
    return text


class Params(Strict):
    """The model's own; what is absent is left to the model."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1, le=1000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    reasoning_effort: Annotated[Text, Field(max_length=20)] | None = None
    seed: Annotated[int, Field(ge=-(2**53), le=2**53)] | None = None
    stop: Annotated[list[Annotated[Text, Field(min_length=1, max_length=100)]], Field(max_length=4)] | None = None


class Timeouts(Strict):
    """Seconds; what is absent is as for every agent."""

    connect_s: Annotated[float, Field(gt=0, le=60)] | None = None
    first_token_s: Annotated[float, Field(gt=0, le=600)] | None = None
    between_tokens_s: Annotated[float, Field(gt=0, le=600)] | None = None
    whole_s: Annotated[float, Field(gt=0, le=600)] | None = None
    retry_s: Annotated[float, Field(ge=0, le=60)] | None = None
    usage_s: Annotated[float, Field(gt=0, le=60)] | None = None


_ContextMessages: TypeAlias = Annotated[int, Field(ge=1, le=100)]


class OpenAIConfig(Strict):
    """An OpenAI-compatible server.

    Without `url` and `model` the platform's own answers. `secret` is sent to the server as a bearer token, and never
    shown: null takes it away; absent it stays, as long as `url` does.
    """

    kind: Literal["openai"]
    url: Annotated[Text, Field(max_length=2000), AfterValidator(_url)] | None = None
    model: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    system_prompt: Annotated[Text, Field(max_length=16_000)] = ""
    params: Params = Params()
    context_messages: _ContextMessages = 10
    context_tokens: Annotated[int, Field(ge=256, le=2_000_000)] = 6_000
    timeouts: Timeouts = Timeouts()
    secret: Annotated[
        Annotated[str, Field(max_length=4000, json_schema_extra={"writeOnly": True}), AfterValidator(_secret)] | None,
        Field(repr=False),
    ] = None


class ScriptedConfig(Strict):
    """Says what the message directs, for trials and demonstrations: `tokens` words, one every `delay_ms`."""

    kind: Literal["scripted"]
    tokens: Annotated[int, Field(ge=1, le=100_000)] = 40
    delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 20
    context_messages: _ContextMessages = 10


Config: TypeAlias = Annotated[OpenAIConfig | ScriptedConfig, Field(discriminator="kind")]


def stored(config: OpenAIConfig | ScriptedConfig) -> dict[str, Any]:
    """As the table has it: without the secret, which is sealed beside it."""
    kept = config.model_dump(exclude_none=True, exclude={"secret"})
    url = kept.pop("url", None)
    return kept if url is None else kept | {"base_url": url}


def shown(config: Mapping[str, Any], *, has_secret: bool) -> dict[str, Any]:
    """As members of the project see it."""
    visible = {name: config[name] for name in _SHOWN if name in config}
    # One that was not written by way of here may hold a password.
    if (url := config.get("base_url")) is not None and "@" not in urlsplit(url).netloc:
        visible["url"] = url
    return visible | {"has_secret": has_secret}


async def check_address(config: OpenAIConfig | ScriptedConfig, *, private_allowed: bool) -> None:
    """Refuse an address that calls would be refused to, while there is somebody to tell.

    It is judged again at each call, where it counts; a name that does not resolve now may do so then.

    Raises:
        Refused: `invalid`
    """
    if private_allowed or isinstance(config, ScriptedConfig) or config.url is None:
        return
    parts = urlsplit(config.url)
    if parts.scheme != "https":
        raise invalid(**{"config.openai.url": "must begin with https://"})
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_WITHIN_S):
            found = await loop.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a time-out is one of them
        return
    if not all(is_public(str(address[0])) for *_, address in found):
        raise invalid(
            **{"config.openai.url": "is an address inside a private network, which may not be called from here"}
        )
