"""An OpenAI-compatible server, over HTTP."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from agents.openai_events import EventReader
from agents.provider import Chunk, Prompt, ProviderError, Trouble
from infra import effects
from infra.addresses import NotPublic, PublicConnector

_MAX_ERROR_BYTES: Final = 8_192

_GOODBYE_S: Final = 0.1
"""Seconds that the rest of a finished response may take; a connection that is read to its end can be used again."""


class _ErrorKind(Struct):
    type: Any = None
    code: Any = None


class _ErrorBody(Struct):
    error: _ErrorKind


_error_body = msgspec.json.Decoder(_ErrorBody).decode
_WORD = re.compile(r"[a-z][a-z_]{0,63}")


def http_session(*, public_only: bool = False) -> aiohttp.ClientSession:
    """A session for all providers of a process: no limit of connections, no cookies, no time limit but the caller's.

    Args:
        public_only: whether it connects to public addresses alone; for those that strangers give us.
    """
    effects.check("calling an agent")
    connector = PublicConnector if public_only else aiohttp.TCPConnector
    return aiohttp.ClientSession(
        connector=connector(limit=0, keepalive_timeout=30, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=2**18,
    )


class OpenAIHTTP:
    """A model behind `<base_url>/chat/completions`.

    Args:
        base_url: up to and including the version, such as `http://127.0.0.1:18000/v1`.
        api_key: sent as a bearer token; None where the server wants none.
        connect_s: seconds to open a connection.
    """

    def __init__(
        self, http: aiohttp.ClientSession, base_url: str, model: str, *, api_key: str | None, connect_s: float
    ) -> None:
        self._http = http
        self._url = URL(f"{base_url.rstrip('/')}/chat/completions")
        self._model = model
        # Compressed pieces would wait for each other.
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """See `Provider.stream`."""
        body = msgspec.json.encode(
            {
                **prompt.params,
                "model": self._model,
                "messages": prompt.messages,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        )
        response = await self._ask(body)
        try:
            if response.status != 200:
                raise await _refusal(response)
            events = EventReader()
            async for data in response.content.iter_any():
                if (chunk := events.feed(data)) is not None:
                    yield chunk
                if events.done:
                    await _read_to_the_end(response.content)
                    return
            events.end()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ProviderError(Trouble.BROKEN_OFF, type(error).__name__) from error
        finally:
            response.close() if not response.content.is_eof() else response.release()

    async def _ask(self, body: bytes) -> aiohttp.ClientResponse:
        try:
            return await self._http.post(
                self._url,
                data=body,
                headers={**self._headers, "Content-Type": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,
            )
        except (NotPublic, aiohttp.InvalidURL) as error:
            raise ProviderError(Trouble.NO_AGENT, "its address is not one that may be called") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ProviderError(Trouble.UNREACHABLE, type(error).__name__) from error
        except (aiohttp.ClientError, ConnectionError) as error:  # such as a closed connection of the pool
            raise ProviderError(Trouble.DOWN, type(error).__name__) from error


async def _read_to_the_end(content: aiohttp.StreamReader) -> None:
    try:
        async with asyncio.timeout(_GOODBYE_S):
            while not content.at_eof():
                await content.readany()
    except TimeoutError:
        pass


async def _refusal(response: aiohttp.ClientResponse) -> ProviderError:
    """What a status other than 200 means. Of the body only a plain word is used: the rest may repeat a secret."""
    status = response.status
    try:
        error = _error_body(await response.content.read(_MAX_ERROR_BYTES)).error
        word = next((w for w in (error.code, error.type) if isinstance(w, str) and _WORD.fullmatch(w)), "")
    except (msgspec.DecodeError, UnicodeDecodeError):
        word = ""
    detail = f"HTTP {status} {word}".strip()
    if word in ("context_length_exceeded", "exceed_context_size_error") or status == 413:
        return ProviderError(Trouble.TOO_LONG, detail)
    if status == 429:
        return ProviderError(Trouble.BUSY, detail, retry_after_s=_retry_after_s(response.headers))
    if status >= 500:
        return ProviderError(Trouble.DOWN, detail, retry_after_s=_retry_after_s(response.headers))
    return ProviderError(Trouble.REFUSED, detail)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """`Retry-After` in seconds (RFC 9110, section 10.2.3); its date form is not used by model servers."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
