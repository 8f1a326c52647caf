"""A sign-in that ends, ends: on every process, on open sockets, and whatever of Redis and PostgreSQL is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import jwt
import pytest
from redis.asyncio import Redis

from edge.revocations import KEPT, LOOK_S, revoke
from edge.tokens import ACCESS_LIFETIME, LEEWAY
from infra.stack.ports import free_port
from tests.accounts.breaking import Breaking
from tests.running import Stack, until
from tests.stack.rest_api import PASSWORD, Answer, Api, Someone, Written, opened, start_api
from tests.stack.stage import raw

Database = asyncpg.Connection


@dataclass
class Others:
    """Processes beside `api`: one that is asked whether it has heard, and two gateways, the second one and the REST
    process on a way to PostgreSQL and Redis that breaks."""

    breaking: Breaking
    url: str
    sockets: list[str]


@pytest.fixture(scope="module")
def others(stack: Stack) -> Iterator[Others]:
    breaking = Breaking(stack)
    ports = [free_port(), free_port()]
    gateways = [
        stack.start("edge", "gateway", CHORUS_WS_PORT=str(port), **settings)
        for port, settings in zip(ports, ({}, breaking.settings), strict=True)
    ]
    running, url = start_api(stack, **breaking.settings)
    for gateway in gateways:
        asyncio.run(gateway.ready())
    yield Others(breaking, url, [f"ws://127.0.0.1:{port}/v1/ws" for port in ports])
    for process in (running, *gateways):
        process.kill()
        process.process.wait()
    breaking.close()


@pytest.fixture
async def other(others: Others, api: Api) -> AsyncIterator[Api]:
    async with opened(api.running, others.url) as found:
        yield found


@pytest.fixture
async def cache(stack: Stack) -> AsyncIterator[Redis]:
    async with Redis.from_url(stack.redis_url) as client:
        yield client


async def login(someone: Someone) -> Someone:
    """The same person, signed in once more."""
    answer = await someone.api.call("POST", "/v1/auth/login", {"email": someone.email, "password": PASSWORD})
    assert answer.status == 200
    return Someone(someone.api, someone.email, answer.json)


async def asked(api: Api, someone: Someone) -> Answer:
    return await api.call("GET", "/v1/users/me", token=someone.signed_in["access_token"])


async def is_in(api: Api, someone: Someone) -> bool:
    answer = await asked(api, someone)
    assert (answer.status, answer.status == 200 or answer.code) in ((200, True), (401, "unauthenticated")), answer
    return answer.status == 200


async def sign_out(someone: Someone, **body: object) -> None:
    body = body or {"refresh_token": someone.refresh_token}
    assert (await someone.call("POST", "/v1/auth/logout", body)).status == 204


# -- at once, everywhere --


@pytest.mark.parametrize("how", ["refresh token", "access token", "session"])
async def test_one_sign_in_ends(api: Api, other: Api, others: Others, how: str) -> None:
    """With the answer, no process takes its access token any longer and its sockets are closed with 4503, on every
    gateway; the person's other sign-in goes on, and so do its sockets."""
    ada = await api.sign_up()
    elsewhere = await login(ada)
    assert await is_in(other, ada)
    async with (
        raw(others.sockets[0], ada.signed_in["access_token"]) as one,
        raw(others.sockets[1], ada.signed_in["access_token"]) as two,
        raw(others.sockets[0], elsewhere.signed_in["access_token"]) as stays,
    ):
        match how:
            case "refresh token":
                await sign_out(elsewhere, refresh_token=ada.refresh_token)
            case "access token":
                assert (await ada.call("POST", "/v1/auth/logout")).status == 204
            case "session":
                listed = (await elsewhere.call("GET", "/v1/users/me/sessions")).json["data"]
                [id] = [session["id"] for session in listed if not session["current"]]
                assert (await elsewhere.call("DELETE", f"/v1/users/me/sessions/{id}")).status == 204
        began = time.monotonic()
        assert [await is_in(process, ada) for process in (api, other)] == [False, False]
        assert await asyncio.gather(one.closed(), two.closed()) == [4503, 4503]
        assert time.monotonic() - began < 5
        assert (await stays.ask("ping"))["ok"]
    assert await is_in(other, elsewhere)
    assert (await api.call("POST", "/v1/auth/refresh", {"refresh_token": ada.refresh_token})).status == 401


@pytest.mark.parametrize("how", ["everywhere", "password", "deletion", "reuse"])
async def test_all_sign_ins_end(api: Api, other: Api, database: Database, how: str) -> None:
    """Signing out everywhere, a new password and the end of the account end all of them; the reuse of a token its own;
    nobody else's."""
    ada, bob = await api.sign_up(), await api.sign_up()
    elsewhere = await login(ada)
    match how:
        case "everywhere":
            await sign_out(ada, everywhere=True)
        case "password":
            body = {"current_password": PASSWORD, "new_password": "another battery staple"}
            assert (await ada.call("POST", "/v1/users/me/password", body)).status == 204
        case "deletion":
            assert (await ada.call("DELETE", "/v1/users/me", {"confirm": ada.email})).status == 200
        case "reuse":
            for _ in range(2):
                await database.execute(
                    "UPDATE refresh_tokens SET used_at = used_at - interval '1 minute' WHERE user_id = $1", ada.id
                )
                await api.call("POST", "/v1/auth/refresh", {"refresh_token": ada.refresh_token})
    assert [await is_in(process, ada) for process in (api, other)] == [False, False]
    assert await is_in(other, elsewhere) == (how == "reuse")
    assert await is_in(other, bob)


async def test_a_token_that_was_refreshed_ends_with_its_sign_in(api: Api, other: Api) -> None:
    """All access tokens that a sign-in ever gave end with it, not only the last one."""
    ada = await api.sign_up()
    body = {"refresh_token": ada.refresh_token}
    later = Someone(api, ada.email, (await api.call("POST", "/v1/auth/refresh", body)).json)
    await sign_out(later)

    assert [await is_in(other, one) for one in (ada, later)] == [False, False]


async def test_an_ended_sign_in_opens_no_socket(api: Api, others: Others) -> None:
    """Neither with hello nor in the place of a good token on an open one."""
    ada = await api.sign_up()
    elsewhere = await login(ada)
    await sign_out(ada)
    async with raw(others.sockets[0]) as socket:
        assert await socket.refused("hello", token=ada.signed_in["access_token"]) == "unauthenticated"
        assert await socket.closed() == 4503
    async with raw(others.sockets[0], elsewhere.signed_in["access_token"]) as socket:
        assert await socket.refused("token.refresh", token=ada.signed_in["access_token"]) == "unauthenticated"
        assert await socket.closed() == 4503


async def test_a_socket_changes_its_sign_in(api: Api, others: Others) -> None:
    """A token of another sign-in of the same person keeps the socket, which from then on ends with that one."""
    ada = await api.sign_up()
    elsewhere = await login(ada)
    async with raw(others.sockets[0], ada.signed_in["access_token"]) as socket:
        assert (await socket.ask("token.refresh", token=elsewhere.signed_in["access_token"]))["ok"]
        await sign_out(ada)
        assert (await socket.ask("ping"))["ok"]
        await sign_out(elsewhere)
        assert await socket.closed() == 4503


async def test_an_answer_that_is_followed_ends(api: Api, written: Written) -> None:
    """Whoever reads an answer as it is written reads no further than their sign-in goes."""
    ada = await api.sign_up()
    conversation_id = await written.conversation(await ada.project_id(), ada.id)
    run_id = await written.run(conversation_id, ada.id)
    path = f"{api.url}/v1/conversations/{conversation_id}/runs/{run_id}/events"
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {ada.signed_in['access_token']}"}
    async with api.http.get(path, headers=headers) as stream:
        assert stream.status == 200
        await sign_out(ada)
        async with asyncio.timeout(5):
            await stream.content.read()


async def test_old_passwords_begin_no_sign_in(api: Api, database: Database) -> None:
    """A sign-in that looked at the old password while it was changed is refused: it would outlive the change."""
    ada = await api.sign_up()
    async with database.transaction():
        await database.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", ada.id)
        body = {"email": ada.email, "password": PASSWORD}
        late = asyncio.create_task(api.call("POST", "/v1/auth/login", body))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%password_hash%'"

        async def is_waiting() -> object:
            await database.execute("SELECT pg_stat_clear_snapshot()")  # else the first look is the transaction's only
            return await database.fetchval(waits)

        await until("the sign-in waits", is_waiting)
        await database.execute("UPDATE users SET password_hash = 'another' WHERE id = $1", ada.id)
    assert (await late).status == 401


# -- nobody dies without a trace --


async def test_what_nobody_spread_is_found(api: Api, other: Api, others: Others, database: Database) -> None:
    """The process that ended a sign-in dies between its commit and the cache: within seconds it is so all the same."""
    ada = await api.sign_up()
    async with raw(others.sockets[0], ada.signed_in["access_token"]) as socket:
        async with database.transaction():
            await revoke(database, UUID(ada.id), [UUID(_sign_in_id(ada))])
        began = time.monotonic()
        assert await socket.closed() == 4503
        assert time.monotonic() - began < 5
        while await is_in(other, ada):
            assert time.monotonic() - began < 3 * LOOK_S
            await asyncio.sleep(0.05)


async def test_a_flushed_redis_forgets_nothing(api: Api, other: Api, cache: Redis) -> None:
    """All that Redis held is gone, and with it the marker: whoever asks first has it filled again. Without the marker
    nothing in the set is believed to be all there is."""
    ada, bob = await api.sign_up(), await api.sign_up()
    await sign_out(ada)
    for empty in (cache.flushall, lambda: cache.zrem("revocations", "whole"), lambda: cache.delete("revocations")):
        await empty()
        assert [await is_in(process, ada) for process in (api, other)] == [False, False]
        assert await is_in(other, bob)
        assert await cache.zscore("revocations", "whole") is not None
        assert await cache.zscore("revocations", _sign_in_id(ada)) is not None


def _sign_in_id(someone: Someone) -> str:
    claims = jwt.decode(someone.signed_in["access_token"], options={"verify_signature": False})
    return str(claims["sid"])


@pytest.mark.slow
async def test_rows_go_when_no_token_is_left(api: Api, stack: Stack, database: Database, cache: Redis) -> None:
    """A row is kept as long as a token could live, and five minutes for clocks; then it is removed in both places."""
    ada = await api.sign_up()
    await sign_out(ada)
    kept = await database.fetchval("SELECT expires_at - revoked_at FROM revocations WHERE user_id = $1", ada.id)
    assert kept == pytest.approx(KEPT, abs=timedelta(seconds=1))
    assert KEPT >= ACCESS_LIFETIME + LEEWAY
    await database.execute("UPDATE revocations SET expires_at = now() WHERE user_id = $1", ada.id)
    await cache.zadd("revocations", {_sign_in_id(ada): 1})
    running, _ = start_api(stack)
    try:
        none = "SELECT NOT EXISTS (SELECT FROM revocations WHERE user_id = $1)"
        await until("it is removed", lambda: database.fetchval(none, ada.id))
        assert await cache.zscore("revocations", _sign_in_id(ada)) is None
    finally:
        await running.stop()


# -- when something is away --


async def test_redis_is_away(api: Api, other: Api, others: Others) -> None:
    """PostgreSQL is asked: who has ended is refused, who has not is let in, over REST and sockets alike; sockets whose
    sign-in ends are closed within 5 s all the same."""
    ada, bob, cay = await api.sign_up(), await api.sign_up(), await api.sign_up()
    await sign_out(ada)
    async with raw(others.sockets[1], cay.signed_in["access_token"]) as socket:
        with others.breaking.away("redis"):
            assert not await is_in(other, ada)
            assert await is_in(other, bob)
            async with raw(others.sockets[1], bob.signed_in["access_token"]) as good:
                assert (await good.ask("ping"))["ok"]
            async with raw(others.sockets[1]) as bad:
                assert await bad.refused("hello", token=ada.signed_in["access_token"]) == "unauthenticated"
            ended = await other.call("POST", "/v1/auth/logout", {"refresh_token": cay.refresh_token})
            assert ended.status == 204
            began = time.monotonic()
            assert await socket.closed() == 4503
            assert time.monotonic() - began < 5
            assert not await is_in(other, cay)
    # Those who have reached Redis all along heard nothing there, and look every two seconds.
    began = time.monotonic()
    while await is_in(api, cay):
        assert time.monotonic() - began < 3 * LOOK_S
        await asyncio.sleep(0.05)


async def test_redis_hangs(api: Api, other: Api, others: Others) -> None:
    """A Redis that says nothing costs one request a second half a second, and nobody their answer."""
    ada, bob = await api.sign_up(), await api.sign_up()
    await sign_out(ada)
    with others.breaking.silent("redis"):
        assert not await is_in(other, ada)
        began = time.monotonic()
        assert all([await is_in(other, bob) for _ in range(10)])
        assert time.monotonic() - began < 10 * 0.5


async def test_postgresql_is_away(api: Api, other: Api, others: Others) -> None:
    """Redis knows: who has ended is refused, and who has not comes as far as their request needs no PostgreSQL."""
    ada, bob = await api.sign_up(), await api.sign_up()
    await sign_out(ada)
    with others.breaking.away("postgres"):
        # A Redis that was away is asked again after a second.
        await until("Redis is asked", lambda: _is_told_that_it_ended(other, ada))
        assert (await asked(other, bob)).code == "unavailable"  # the profile itself
        async with raw(others.sockets[1], bob.signed_in["access_token"]) as socket:
            assert (await socket.ask("ping"))["ok"]


async def _is_told_that_it_ended(api: Api, someone: Someone) -> bool:
    return (await asked(api, someone)).code == "unauthenticated"


async def test_both_are_away(api: Api, other: Api, others: Others, cache: Redis) -> None:
    """Nobody is let in whose sign-in might have ended: REST answers 503, sockets are asked to come back. Nothing is
    believed of a Redis without its marker while PostgreSQL is away, either."""
    bob = await api.sign_up()

    async def is_turned_away() -> None:
        answer = await asked(other, bob)
        assert (answer.status, answer.code) == (503, "unavailable")
        assert "Retry-After" in answer.headers
        async with raw(others.sockets[1]) as socket:
            assert await socket.refused("hello", token=bob.signed_in["access_token"]) == "unavailable"
            assert await socket.closed() == 1012

    async with raw(others.sockets[1], bob.signed_in["access_token"]) as stays:
        with others.breaking.away("postgres", "redis"):
            await is_turned_away()
            assert (await stays.ask("ping"))["ok"]
        with others.breaking.away("postgres"):
            await cache.delete("revocations")
            assert (await asked(other, bob)).status == 503
    assert await is_in(other, bob)


# -- the list --


async def test_sessions_are_listed(api: Api) -> None:
    """Where one is signed in, last used first, since when, and which of them is this; those that ended are not there,
    nor anybody else's."""
    ada, _bob = await api.sign_up(), await api.sign_up()
    second = await login(ada)
    third = await login(ada)
    await sign_out(third)
    renewed = await api.call("POST", "/v1/auth/refresh", {"refresh_token": ada.refresh_token})
    ada = Someone(api, ada.email, renewed.json)
    listed = (await ada.call("GET", "/v1/users/me/sessions")).json

    assert listed["next_cursor"] is None
    assert [session["current"] for session in listed["data"]] == [True, False]
    assert [session["id"] for session in listed["data"]] == [_sign_in_id(ada), _sign_in_id(second)]
    used, other = listed["data"]
    assert used["created_at"] < other["created_at"] < used["last_used_at"]


async def test_nobody_ends_anothers_session(api: Api) -> None:
    """Another's session answers as one that does not exist, and goes on."""
    ada, bob = await api.sign_up(), await api.sign_up()
    [session] = (await bob.call("GET", "/v1/users/me/sessions")).json["data"]
    theirs = await ada.call("DELETE", f"/v1/users/me/sessions/{session['id']}")
    nobodys = await ada.call("DELETE", f"/v1/users/me/sessions/{uuid4()}")

    assert (theirs.status, theirs.text) == (nobodys.status, nobodys.text) == (404, nobodys.text)
    assert await is_in(api, bob)
