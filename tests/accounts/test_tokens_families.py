"""Refresh tokens over two processes, the end of a sign-in that goes on and on, and what strangers learn of accounts."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from edge.passwords import Passwords
from edge.refresh_tokens import FAMILY_LIFETIME, GRACE
from tests.stack.rest_api import PASSWORD, Answer, Api

Database = asyncpg.Connection


async def refresh(api: Api, token: str) -> Answer:
    return await api.call("POST", "/v1/auth/refresh", {"refresh_token": token})


async def is_in(api: Api, token: str) -> bool:
    return (await api.call("GET", "/v1/users/me", token=token)).status == 200


async def test_twenty_at_once_on_two_processes(api: Api, elsewhere: Api, database: Database) -> None:
    """One token used twenty times in a moment gives one successor and one family, and nobody is signed out. After the
    grace its use ends the family: on both processes, and for every access token that it gave."""
    ada = await api.sign_up()
    answers = await asyncio.gather(*(refresh((api, elsewhere)[n % 2], ada.refresh_token) for n in range(20)))
    assert {answer.status for answer in answers} == {200}
    (successor,) = {answer.json["refresh_token"] for answer in answers}
    rows = await database.fetch("SELECT family, used_at FROM refresh_tokens WHERE user_id = $1", ada.id)
    assert len(rows) == 2
    assert len({row["family"] for row in rows}) == 1
    given = [ada.signed_in["access_token"], *(answer.json["access_token"] for answer in answers)]
    assert all([await is_in(elsewhere, token) for token in given])

    done = await database.execute(
        "UPDATE refresh_tokens SET used_at = used_at - $2::interval WHERE token_hash = $1",
        sha256(ada.refresh_token.encode()).digest(),
        GRACE + timedelta(seconds=1),
    )
    assert done == "UPDATE 1"
    late = await asyncio.gather(*(refresh((api, elsewhere)[n % 2], ada.refresh_token) for n in range(20)))
    assert {answer.status for answer in late} == {401}
    assert not any([await is_in(process, token) for token in given for process in (api, elsewhere)])
    assert [(await refresh(process, successor)).status for process in (api, elsewhere)] == [401, 401]
    reuses = "SELECT count(*) FROM audit_log WHERE event = 'authn_token_reuse' AND user_id = $1"
    assert await database.fetchval(reuses, ada.id) == 1


async def test_no_refreshing_prolongs_a_sign_in(api: Api, elsewhere: Api, database: Database) -> None:
    """Ninety days after a sign-in it is over, however often it was used, also in its last minute, and on whichever
    process; a new one has ninety days of its own."""
    ada = await api.sign_up()
    end = await database.fetchval("SELECT family_expires_at FROM refresh_tokens WHERE user_id = $1", ada.id)
    assert end - datetime.now(UTC) == pytest.approx(FAMILY_LIFETIME, abs=timedelta(minutes=1))

    async def used_once_more(token: str, n: int) -> str:
        answer = await refresh((api, elsewhere)[n % 2], token)
        assert answer.status == 200
        return str(answer.json["refresh_token"])

    token = ada.refresh_token
    for n in range(4):
        token = await used_once_more(token, n)
    # All of it happened so long ago that four seconds of the ninety days are left.
    soon = datetime.now(UTC) + timedelta(seconds=4)
    moved = await database.execute(
        "UPDATE refresh_tokens SET issued_at = issued_at - (family_expires_at - $2::timestamptz), "
        "used_at = used_at - (family_expires_at - $2::timestamptz), family_expires_at = $2 WHERE user_id = $1",
        ada.id,
        soon,
    )
    assert moved == "UPDATE 5"
    for n in range(3):
        token = await used_once_more(token, n)
    ends = await database.fetch("SELECT family_expires_at, expires_at FROM refresh_tokens WHERE user_id = $1", ada.id)
    assert {row["family_expires_at"] for row in ends} == {soon}
    assert sorted(row["expires_at"] for row in ends)[:3] == [soon] * 3
    await asyncio.sleep((soon - datetime.now(UTC)).total_seconds() + 0.1)
    assert [(await refresh(process, token)).status for process in (api, elsewhere)] == [401, 401]
    assert (await api.call("POST", "/v1/auth/login", {"email": ada.email, "password": PASSWORD})).status == 200


# -- what strangers learn --


async def timed(ask: Callable[[str], Any], emails: dict[str, Callable[[], str]], times: int) -> dict[str, float]:
    """The median time for each kind of address, asked in an order that is drawn anew each time, so that whatever else
    the machine does hits all kinds alike."""
    took: dict[str, list[float]] = {kind: [] for kind in emails}
    for _ in range(times):
        for kind in random.sample(list(emails), len(emails)):
            email = emails[kind]()
            began = time.perf_counter()
            await ask(email)
            took[kind].append(time.perf_counter() - began)
    return {kind: statistics.median(times) for kind, times in took.items()}


async def test_nobody_hears_from_the_clock_who_has_an_account(api: Api) -> None:
    """Signing in and forgetting take as long for who has an account as for who has none, and answer the same."""
    ada = await api.sign_up()
    emails = {"known": lambda: ada.email, "unknown": lambda: f"{uuid4().hex}@example.org"}
    said = set()

    async def sign_in(email: str) -> None:
        answer = await api.call("POST", "/v1/auth/login", {"email": email, "password": "a wrong password"})
        said.add((answer.status, answer.text))

    async def forget(email: str) -> None:
        answer = await api.call("POST", "/v1/auth/password/forgot", {"email": email})
        said.add((answer.status, answer.text))

    for ask, times in ((sign_in, 15), (forget, 9)):
        took = await timed(ask, emails, times)
        # A hash that is left out makes an answer ten times as fast, a mail that is waited for ten times as slow.
        ratio = took["unknown"] / took["known"]
        assert 0.4 < ratio < 2.5, f"{ask.__name__}: {took}"
        assert len(said) == 1
        said.clear()


async def test_a_hash_is_made_for_nobody_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is a hash to compare with, one is made, at the same cost; and none but the right one lets in."""
    passwords = Passwords()
    stored = await passwords.hash(PASSWORD)
    compared = []
    real = passwords._hasher.verify

    class Counting:
        def verify(self, hash: str, password: str) -> bool:
            compared.append(hash)
            return bool(real(hash, password))

    monkeypatch.setattr(passwords, "_hasher", Counting())
    for whose, given, matches in ((stored, "wrong", False), (None, "wrong", False), (stored, PASSWORD, True)):
        assert await passwords.matches(whose, given) == matches
    assert not await passwords.matches(None, "nobody's password"), "the stand-in's own password lets nobody in"
    assert len(compared) == 4
    costs = {hash.split("$")[3] for hash in compared}
    assert len(costs) == 1
    passwords.close()


async def test_forgetting_is_answered_before_anybody_looks(api: Api, database: Database) -> None:
    """Nobody can be looked up at this moment, and the answer comes all the same: it cannot depend on who there is."""
    ada = await api.sign_up()
    async with database.transaction():
        await database.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(2.5):  # a request's work with PostgreSQL is cut after three seconds
            answers = [
                await api.call("POST", "/v1/auth/password/forgot", {"email": email})
                for email in (ada.email, f"{uuid4().hex}@example.org")
            ]
    assert [(answer.status, answer.text) for answer in answers] == [(202, "")] * 2
