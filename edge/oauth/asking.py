"""Requests to providers: short, bounded, never redirected, and never quoted in a log."""

from collections.abc import Mapping
from typing import Final, TypeVar

import aiohttp
import msgspec
from prometheus_client import Histogram
from yarl import URL

from edge.oauth.flow import ProviderFailed

T = TypeVar("T")

LIMIT_S: Final = 10.0
"""Seconds for one request: somebody looks at an empty page meanwhile."""
MAX_BYTES: Final = 256 * 1024

_SECONDS = Histogram("chorus_oauth_provider_seconds", "Time of one request to a provider.", ["host"])


def session() -> aiohttp.ClientSession:
    """Keeps no cookies: one person's must never go with another's request."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S), cookie_jar=aiohttp.DummyCookieJar())


async def ask(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    shape: type[T],
    *,
    form: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    bearer: str | None = None,
) -> T:
    """The JSON that it answers, whatever its status: providers say what is wrong in there.

    Raises:
        ProviderFailed: no answer, one that is the provider's own fault, or another shape.
    """
    headers = {"Accept": "application/json"} | ({} if bearer is None else {"Authorization": f"Bearer {bearer}"})
    try:
        with _SECONDS.labels(URL(url).host).time():
            async with http.request(
                method, url, data=form, params=params, headers=headers, allow_redirects=False
            ) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_chunked(16 * 1024):
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise ProviderFailed("answer too large", away=True)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ProviderFailed(type(error).__name__, away=True) from error
    if answer.status >= 500 or answer.status == 429:
        raise ProviderFailed(f"status {answer.status}", away=True)
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Not chained: its text may quote what was answered.
        raise ProviderFailed(f"status {answer.status}, {type(error).__name__}") from None
