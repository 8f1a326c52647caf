"""A REST process with mail and all providers on, the providers and the mail server themselves, and browsers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import aiohttp
import pytest

from infra.stack.ports import free_port
from tests.accounts.post import Post, post_office
from tests.accounts.providers import facebook, google, tiktok
from tests.accounts.providers.serving import Account, serving
from tests.running import Running, Stack
from tests.stack.rest_api import Answer, Api, opened, start_api

PROVIDERS = ("google", "facebook", "tiktok")


@dataclass(frozen=True)
class Ports:
    google: int
    facebook: int
    tiktok: int
    post: int

    def settings(self) -> dict[str, Any]:
        return {
            "CHORUS_GOOGLE_CLIENT_ID": google.CLIENT_ID,
            "CHORUS_GOOGLE_CLIENT_SECRET": google.CLIENT_SECRET,
            "CHORUS_GOOGLE_ISSUER": f"http://127.0.0.1:{self.google}",
            "CHORUS_FACEBOOK_CLIENT_ID": facebook.APP_ID,
            "CHORUS_FACEBOOK_CLIENT_SECRET": facebook.APP_SECRET,
            "CHORUS_FACEBOOK_URL": f"http://127.0.0.1:{self.facebook}/v23.0",
            "CHORUS_FACEBOOK_GRAPH_URL": f"http://127.0.0.1:{self.facebook}/v23.0",
            "CHORUS_TIKTOK_CLIENT_KEY": tiktok.CLIENT_KEY,
            "CHORUS_TIKTOK_CLIENT_SECRET": tiktok.CLIENT_SECRET,
            "CHORUS_TIKTOK_URL": f"http://127.0.0.1:{self.tiktok}",
            "CHORUS_TIKTOK_API_URL": f"http://127.0.0.1:{self.tiktok}",
            "CHORUS_SMTP_URL": f"smtp://127.0.0.1:{self.post}",
            "CHORUS_MAIL_REQUESTS_PER_MINUTE": "1000",
            "CHORUS_FAILED_SIGN_INS_PER_MINUTE": "1000",
        }


@pytest.fixture(scope="session")
def sign_in_process(stack: Stack) -> Iterator[tuple[Running, str, Ports]]:
    ports = Ports(free_port(), free_port(), free_port(), free_port())
    running, url = start_api(stack, **ports.settings())
    yield running, url, ports
    running.process.terminate()
    running.process.wait()


@dataclass
class Place:
    """Everything that a sign-in meets."""

    api: Api
    google: google.Google
    facebook: facebook.Facebook
    tiktok: tiktok.TikTok
    post: Post

    def account(self, provider: str, account: Account | None) -> None:
        """Who is signed in at this provider."""
        getattr(self, provider).account = account

    @asynccontextmanager
    async def browser(self) -> AsyncIterator["Browser"]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            yield Browser(Api(self.api.running, self.api.url, http, self.api.document))


@dataclass
class Browser:
    """Follows redirects by hand, and keeps cookies as browsers do."""

    api: Api

    async def start(self, provider: str, **query: Any) -> str:
        """The address at the provider that a way begins with."""
        answer = await self.api.call("GET", f"/v1/auth/oauth/{provider}/start", **query)
        assert answer.status == 302, answer
        return answer.headers["Location"]

    async def agree(self, address: str) -> str:
        """The callback's path and query that the provider sends this browser to."""
        async with self.api.http.get(address, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            parts = urlsplit(answer.headers["Location"])
        assert f"{parts.scheme}://{parts.netloc}" == self.api.url
        return f"{parts.path}?{parts.query}"

    async def arrive(self, callback: str) -> Answer:
        return await self.api.call("GET", callback)

    async def sign_in(self, provider: str, **query: Any) -> Answer:
        """The whole way; the last redirect."""
        return await self.arrive(await self.agree(await self.start(provider, **query)))

    async def refresh(self, **headers: str) -> Answer:
        return await self.api.call("POST", "/v1/auth/refresh", headers=headers)

    async def token(self) -> str:
        answer = await self.refresh()
        assert answer.status == 200, answer
        return str(answer.json["access_token"])


def error_of(answer: Answer) -> str:
    """The code that the page is told."""
    assert answer.status == 302, answer
    parts = urlsplit(answer.headers["Location"])
    assert (parts.scheme, parts.netloc, parts.path) == ("", "", "/")
    return parse_qs(parts.query)["error"][0]


def somebody(email: str | None = None, **more: Any) -> Account:
    return Account(subject=uuid4().hex, email=email, **more)


def new_address() -> str:
    return f"{uuid4().hex}@example.org"


@pytest.fixture
async def place(sign_in_process: tuple[Running, str, Ports]) -> AsyncIterator[Place]:
    running, url, ports = sign_in_process

    def at(port: int, name: str) -> tuple[str, str]:
        return f"http://127.0.0.1:{port}", f"{url}/v1/auth/oauth/{name}/callback"

    async with AsyncExitStack() as stack:
        found = Place(
            await stack.enter_async_context(opened(running, url)),
            google.Google(*at(ports.google, "google")),
            facebook.Facebook(*at(ports.facebook, "facebook")),
            tiktok.TikTok(*at(ports.tiktok, "tiktok")),
            (await stack.enter_async_context(post_office(ports.post)))[0],
        )
        for name in PROVIDERS:
            await stack.enter_async_context(serving(getattr(found, name).app(), getattr(ports, name)))
        yield found
