"""Limits that hold across processes: of people, of addresses and of accounts, and whatever becomes of Redis."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from edge.errors import Refused
from edge.limits import Rate
from edge.rest.limits import Limit
from infra import redis as our_redis
from infra.redis import LEFT_ALONE_S, Reach
from infra.settings import RedisSettings
from infra.stack.ports import free_port
from tests.accounts.breaking import Breaking
from tests.accounts.pair import on
from tests.running import Stack, until
from tests.stack.rest_api import PASSWORD, Answer, Api, opened, start_api

OF_PEOPLE, OF_ADDRESSES, FAILURES, FAILURES_OF_ACCOUNTS = 30, 20, 5, 8
SETTINGS: dict[str, Any] = {
    "CHORUS_REQUESTS_PER_MINUTE": str(OF_PEOPLE),
    "CHORUS_ANONYMOUS_REQUESTS_PER_MINUTE": str(OF_ADDRESSES),
    "CHORUS_FAILED_SIGN_INS_PER_MINUTE": str(FAILURES),
    "CHORUS_FAILED_SIGN_INS_PER_ACCOUNT_PER_HOUR": str(FAILURES_OF_ACCOUNTS),
    "CHORUS_TRUSTED_PROXIES": "127.0.0.1",
}


# -- the counting itself --


@pytest.fixture
async def cache(stack: Stack) -> AsyncIterator[Redis]:
    async with Redis.from_url(stack.redis_url) as client:
        yield client


def hourly(cache: Redis, count: int, name: str | None = None, reach: Reach | None = None) -> Limit:
    """So few that nothing comes back while a test runs."""
    return Limit(name or uuid4().hex, Rate(per_s=count / 3_600, burst=count), cache, reach or Reach())


async def wait_of(limit: Limit, whose: str) -> float:
    """Seconds to wait; 0 where it is allowed."""
    try:
        await limit.take(whose)
    except Refused as refused:
        return (refused.retry_after_ms or 0) / 1000
    return 0


async def test_as_many_as_there_are(cache: Redis) -> None:
    """Of sixty who ask at once through two processes ten are allowed; what is given back is there again, once; another
    has an allowance of their own, and so has one whose limit has the same name and another rate."""
    name, whose = uuid4().hex, str(uuid4())
    one, two = hourly(cache, 10, name), hourly(cache, 10, name)
    waits = await asyncio.gather(*(wait_of(limit, whose) for limit in (one, two) for _ in range(30)))
    assert waits.count(0) == 10
    assert all(350 < wait <= 360 for wait in waits if wait)

    await two.give_back(whose)
    assert [await wait_of(one, whose) > 0 for _ in range(2)] == [False, True]
    assert await wait_of(one, str(uuid4())) == 0
    assert await wait_of(hourly(cache, 11, name), whose) == 0


async def test_what_is_given_back_to_nobody(cache: Redis) -> None:
    """It makes nobody's allowance larger, and leaves nothing behind."""
    limit, whose = hourly(cache, 2), str(uuid4())
    for _ in range(5):
        await limit.give_back(whose)
    assert not [key async for key in cache.scan_iter(f"*{whose}")]
    assert [await wait_of(limit, whose) > 0 for _ in range(3)] == [False, False, True]


async def test_a_clock_that_is_set_back(cache: Redis) -> None:
    """What was written by a clock that was ahead for a day keeps nobody out for longer than one share of the time."""
    limit, whose = hourly(cache, 10), str(uuid4())
    await limit.take(whose)
    [key] = [key async for key in cache.scan_iter(f"*{whose}")]
    await cache.incrby(key, 24 * 3_600 * 1_000_000)
    assert 350 < await wait_of(limit, whose) <= 360


async def test_keys_go_by_themselves(cache: Redis) -> None:
    """Each lasts until its owner has all again, and no longer: what is used once in a while is hardly there at all."""
    limit, whose = hourly(cache, 10), str(uuid4())
    for taken in range(1, 11):
        await limit.take(whose)
        [key] = [key async for key in cache.scan_iter(f"*{whose}")]
        assert (taken - 1) * 360 < await cache.pttl(key) / 1000 <= taken * 360


async def test_an_ipv6_subscriber_is_one(cache: Redis) -> None:
    """Who has 2⁶⁴ addresses has one allowance."""
    limit = hourly(cache, 1)
    assert [await wait_of(limit, f"2001:db8::{n}") > 0 for n in range(1, 3)] == [False, True]
    assert await wait_of(limit, "2001:db8:0:1::1") == 0


async def test_without_redis_each_counts_by_itself() -> None:
    """No Redis is neither no limit nor an outage, and one of all who ask in a second finds out that it is away."""
    away = our_redis.connect(RedisSettings(f"redis://127.0.0.1:{free_port()}/0"), timeout_s=0.5)
    now = 0.0
    limit = hourly(away, 3, reach=Reach(lambda: now))
    assert [await wait_of(limit, "192.0.2.1") > 0 for _ in range(5)] == [False] * 3 + [True] * 2
    await limit.give_back("192.0.2.1")
    assert await wait_of(limit, "192.0.2.1") == 0
    await away.aclose()


def test_one_asks_and_nobody_waits_with_that_one() -> None:
    """A server that was away is left alone for a second; then one asks, and others go on without until it answers."""
    now = 0.0
    reach = Reach(lambda: now)
    assert reach.is_due()
    reach.failed()
    assert not reach.is_due()
    now = LEFT_ALONE_S
    assert [reach.is_due(), reach.is_due()] == [True, False]
    reach.answered()
    assert [reach.is_due(), reach.is_due()] == [True, True]


# -- over REST, on two processes --


@dataclass
class Limited:
    """Two processes with small limits, which believe what the test says of where a request comes from; the second one's
    way to Redis breaks."""

    processes: tuple[Api, Api]
    breaking: Breaking

    async def from_(self, address: str, count: int, path: str = "/v1/config", token: str | None = None) -> list[Answer]:
        """So many requests at once, by turns to both."""
        headers = {"X-Forwarded-For": address}
        calls = (self.processes[n % 2].call("GET", path, token=token, headers=headers) for n in range(count))
        return list(await asyncio.gather(*calls))

    async def sign_in(self, email: str, password: str, address: str, process: int = 0) -> Answer:
        body = {"email": email, "password": password}
        headers = {"X-Forwarded-For": address}
        return await self.processes[process].call("POST", "/v1/auth/login", body, headers=headers)


@pytest.fixture(scope="module")
def small(stack: Stack) -> Iterator[tuple[str, str, Breaking]]:
    breaking = Breaking(stack)
    way = SETTINGS | {"CHORUS_REDIS_URL": breaking.settings["CHORUS_REDIS_URL"]}
    started = [start_api(stack, **settings) for settings in (SETTINGS, way)]
    yield started[0][1], started[1][1], breaking
    for running, _ in started:
        running.kill()
        running.process.wait()
    breaking.close()


@pytest.fixture
async def limited(small: tuple[str, str, Breaking], api: Api) -> AsyncIterator[Limited]:
    one, two, breaking = small
    async with AsyncExitStack() as exits:
        apis = [await exits.enter_async_context(opened(api.running, url)) for url in (one, two)]
        yield Limited((apis[0], apis[1]), breaking)


_addresses = (f"198.51.{a}.{b}" for a in range(100, 256) for b in range(256))


@pytest.fixture
def address() -> str:
    """One that no other test comes from."""
    return next(_addresses)


def allowed(answers: list[Answer], most: int, began: float) -> bool:
    """Whether as many were let in as may be, with what came back while they asked."""
    count = sum(answer.status == 200 for answer in answers)
    return most <= count <= most + 1 + (time.monotonic() - began) * most / 60


async def test_a_person_has_one_allowance(limited: Limited, api: Api, address: str) -> None:
    """On all processes and from all addresses together; the refusal says when to come again, and then it is so. Others
    at the same address go on."""
    ada, bob = await api.sign_up(), await api.sign_up()
    token = ada.signed_in["access_token"]
    began = time.monotonic()
    answers = [
        *await limited.from_(address, OF_PEOPLE, "/v1/users/me", token),
        *await limited.from_(next(_addresses), OF_PEOPLE, "/v1/users/me", token),
    ]
    assert allowed(answers, OF_PEOPLE, began)
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {200, 429}
    assert {answer.code for answer in refused} == {"rate_limited"}
    for answer in refused:
        after_ms = answer.json["retry_after_ms"]
        assert 0 < after_ms <= 60_000 / OF_PEOPLE
        assert answer.headers["Retry-After"] == str(math.ceil(after_ms / 1000))
    assert (await on(limited.processes[0], bob).call("GET", "/v1/users/me")).status == 200
    await asyncio.sleep(refused[-1].json["retry_after_ms"] / 1000)
    assert (await on(limited.processes[1], ada).call("GET", "/v1/users/me")).status == 200


async def test_an_address_has_one_allowance(limited: Limited, api: Api, address: str) -> None:
    """For all that no person asks for: without a token, with one that is none, and with that of a sign-in that ended,
    which takes nothing of its owner's. Who signed in is not held up by it, nor is another address."""
    ada, bob = await api.sign_up(), await api.sign_up()
    await ada.call("POST", "/v1/auth/logout")
    began = time.monotonic()
    answers = await limited.from_(address, OF_ADDRESSES // 2)
    for token in (ada.signed_in["access_token"], "x.y.z"):
        answers += await limited.from_(address, OF_ADDRESSES // 2, "/v1/users/me", token)
    passed = [answer for answer in answers if answer.status in (200, 401)]
    assert {answer.status for answer in answers} == {200, 401, 429}
    assert OF_ADDRESSES <= len(passed) <= OF_ADDRESSES + 1 + (time.monotonic() - began) * OF_ADDRESSES / 60
    assert (await limited.from_(next(_addresses), 1))[0].status == 200
    [answer] = await limited.from_(address, 1, "/v1/users/me", bob.signed_in["access_token"])
    assert answer.status == 200


async def test_the_page_and_health_are_not_counted(limited: Limited, api: Api) -> None:
    """Files cost nothing, and whoever watches a process is not told to come later."""
    answers = await limited.from_(next(_addresses), 2 * OF_ADDRESSES, "/")
    assert 429 not in {answer.status for answer in answers}
    for path in ("/livez", "/readyz", "/metrics"):
        for _ in range(5):
            async with api.http.get(f"{api.running.health}{path}") as answer:
                assert answer.status == 200


async def test_guesses_are_counted_together(limited: Limited, api: Api, address: str) -> None:
    """A guess at one process is a guess at all; signing in rightly, however often and wherever, is none."""
    ada = await api.sign_up()
    right = [await limited.sign_in(ada.email, PASSWORD, address, n % 2) for n in range(FAILURES + 2)]
    assert {answer.status for answer in right} == {200}
    wrong = [await limited.sign_in(f"{uuid4().hex}@example.org", "wrong", address, n % 2) for n in range(FAILURES + 3)]
    statuses = [answer.status for answer in wrong]
    assert statuses[:FAILURES] == [401] * FAILURES
    assert 429 in statuses
    assert (await limited.sign_in(ada.email, PASSWORD, next(_addresses))).status == 200


async def test_a_thousand_machines_guess_no_faster(limited: Limited, api: Api, cache: Redis, address: str) -> None:
    """Guesses at one account are counted wherever they come from, and whether it exists cannot be seen from that. Its
    owner still gets in where they signed in before. No address of a person stands in a key."""
    ada = await api.sign_up()
    assert (await limited.sign_in(ada.email, PASSWORD, address)).status == 200
    nobody = f"{uuid4().hex}@example.org"
    outcomes = []
    for email in (ada.email, nobody):
        told = [await limited.sign_in(email, "wrong", next(_addresses), n % 2) for n in range(FAILURES_OF_ACCOUNTS + 2)]
        assert [answer.status for answer in told] == [401] * FAILURES_OF_ACCOUNTS + [429] * 2
        outcomes.append([(answer.status, answer.code) for answer in told])
    assert outcomes[0] == outcomes[1]
    assert (await limited.sign_in(ada.email, PASSWORD, next(_addresses))).status == 429, "not from a new place"
    assert (await limited.sign_in(ada.email, PASSWORD, address)).status == 200
    keys = [key.decode() async for key in cache.scan_iter("limit/*")]
    assert keys
    assert not any("@" in key for key in keys)


@pytest.mark.parametrize("how", ["away", "silent"])
async def test_redis_goes(limited: Limited, api: Api, address: str, how: str) -> None:
    """Each process allows as much as it would allow alone: nobody is without a limit, and nobody gets an error. When it
    is back, all count together again."""
    lonely = limited.processes[1]
    headers = {"X-Forwarded-For": address}

    async def ask(count: int, process: Api = lonely) -> list[Answer]:
        return list(await asyncio.gather(*(process.call("GET", "/v1/config", headers=headers) for _ in range(count))))

    began = time.monotonic()
    await ask(OF_ADDRESSES, limited.processes[0])
    gone = limited.breaking.away("redis") if how == "away" else limited.breaking.silent("redis")
    with gone:
        answers = await ask(2 * OF_ADDRESSES)
        assert {answer.status for answer in answers} == {200, 429}
        assert allowed(answers, OF_ADDRESSES, began)

    async def is_together() -> bool:
        """At another address: a whole allowance used at one process is none at the other."""
        headers["X-Forwarded-For"] = next(_addresses)
        await ask(OF_ADDRESSES, limited.processes[0])
        return 429 in {answer.status for answer in await ask(OF_ADDRESSES // 2)}

    await until("all count together again", is_together)


async def test_every_answer_may_be_a_refusal(api: Api) -> None:
    """The document says of every operation that it may be asked too often, and what is told then."""
    operations = [o for path in api.document["paths"].values() for o in path.values() if "responses" in o]
    assert operations
    assert all("429" in operation["responses"] for operation in operations)
    assert "retry_after_ms" in api.document["components"]["schemas"]["Problem"]["properties"]
