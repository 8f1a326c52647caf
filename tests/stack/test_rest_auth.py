"""Signing up, in and out over REST, against a real PostgreSQL."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

import asyncpg
import pytest

from edge.refresh_tokens import FAMILY_LIFETIME, GRACE, LIFETIME
from edge.tokens import Tokens, TokenSettings
from tests.running import Running, Stack
from tests.stack.rest_api import PASSWORD, Answer, Api, Someone, opened, start_api

Database = asyncpg.Connection


async def login(api: Api, email: str, password: str = PASSWORD) -> Answer:
    return await api.call("POST", "/v1/auth/login", {"email": email, "password": password})


async def refresh(api: Api, token: str) -> Answer:
    return await api.call("POST", "/v1/auth/refresh", {"refresh_token": token})


async def spend_long_ago(database: Database, token: str) -> None:
    """Make the token's use lie before its grace, without waiting for that."""
    done = await database.execute(
        "UPDATE refresh_tokens SET used_at = used_at - $2::interval WHERE token_hash = $1",
        sha256(token.encode()).digest(),
        GRACE + timedelta(seconds=1),
    )
    assert done == "UPDATE 1"


async def test_signing_up_makes_all_that_a_person_needs(api: Api, database: Database) -> None:
    """A new person has a key, a project of their own, an agent that answers there and one for demonstrations."""
    ada = await api.sign_up(display_name="  Á Lovelace ")
    assert ada.signed_in["token_type"] == "Bearer"
    assert ada.signed_in["expires_in"] == 3600
    me = (await ada.call("GET", "/v1/users/me")).json
    assert me == ada.signed_in["user"]
    assert (me["display_name"], me["email"]) == ("Á Lovelace", ada.email)

    (project,) = (await ada.call("GET", "/v1/projects")).json["data"]
    assert project["role"] == "owner"
    agents = (await ada.call("GET", f"/v1/projects/{project['id']}/agents")).json["data"]
    assert {a["name"]: a["config"]["kind"] for a in agents} == {"SmolLM2": "openai", "Echo": "scripted"}
    assert project["default_agent_id"] in {a["id"] for a in agents if a["name"] == "SmolLM2"}
    assert await database.fetchval("SELECT wrapped IS NOT NULL FROM data_keys WHERE user_id = $1", ada.id)


async def test_passwords_and_tokens_are_stored_as_hashes(api: Api, database: Database) -> None:
    """Whoever reads the database can neither sign in nor stay signed in."""
    ada = await api.sign_up()
    row = await database.fetchrow(
        "SELECT u::text || t::text AS all, password_hash FROM users u JOIN refresh_tokens t ON t.user_id = u.id "
        "WHERE u.id = $1",
        ada.id,
    )
    assert row is not None
    assert row["password_hash"].startswith("$argon2id$")
    assert PASSWORD not in row["all"]
    assert ada.refresh_token not in row["all"]


async def test_one_address_is_one_person(api: Api, database: Database) -> None:
    """However it is spelled, and however many sign up at once, an address is used once, and nothing is left over."""
    email = f"{uuid4().hex}@example.org"
    bodies = [
        {"email": spelled, "password": PASSWORD, "display_name": "Ada"}
        for spelled in (email, email.upper(), f" {email} ", email, email.title())
    ]
    projects = await database.fetchval("SELECT count(*) FROM projects")
    answers = await asyncio.gather(*(api.call("POST", "/v1/auth/register", body) for body in bodies))

    assert sorted(a.status for a in answers) == [201, 409, 409, 409, 409]
    assert {a.code for a in answers if a.status == 409} == {"invalid"}
    assert await database.fetchval("SELECT count(*) FROM users WHERE email = $1", email) == 1
    assert await database.fetchval("SELECT count(*) FROM projects") == projects + 1
    assert (await login(api, email.upper())).status == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "ada"}, "email"),
        ({"email": None}, "email"),
        ({"password": "1234567"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"password": 12345678}, "password"),
        ({"password": "12345678\ud800"}, "password"),
        ({"display_name": " "}, "display_name"),
        ({"display_name": "a\0b"}, "display_name"),
    ],
)
async def test_what_cannot_be_signed_up_with(api: Api, changes: dict[str, object], field: str) -> None:
    """The answer names the field and never says what was in it."""
    body = {"email": "ada@example.org", "password": "0secret0", "display_name": "Ada"} | changes
    answer = await api.call("POST", "/v1/auth/register", body)

    assert (answer.status, answer.code, answer.fields) == (422, "invalid", {field})
    assert "0secret0" not in answer.text
    assert "1234567" not in answer.text


async def test_unknown_people_and_wrong_passwords_look_alike(api: Api) -> None:
    """Neither the answer nor its time says whether somebody has an account."""
    ada = await api.sign_up()

    async def timed(email: str) -> tuple[float, Answer]:
        before = time.perf_counter()
        answer = await login(api, email, "a wrong password")
        return time.perf_counter() - before, answer

    known, unknown = [], []
    for _ in range(9):
        known.append(await timed(ada.email))
        unknown.append(await timed(f"{uuid4().hex}@example.org"))

    assert {a.status for _, a in known + unknown} == {401}
    assert len({a.text for _, a in known + unknown}) == 1
    # A check that is skipped takes a tenth of the time.
    ratio = statistics.median(t for t, _ in unknown) / statistics.median(t for t, _ in known)
    assert 0.5 < ratio < 2, f"an unknown person's answer takes {ratio:.2f} times as long"


async def test_who_composes_letters_differently_gets_in(api: Api) -> None:
    """A password typed on another machine is the same password."""
    ada = await api.sign_up(password="mật khẩu".replace("ậ", "a\u0323\u0302"))

    assert (await login(api, ada.email, "mật khẩu")).status == 200


async def test_a_hash_of_another_cost_is_renewed(api: Api, database: Database) -> None:
    """When hashes get dearer, people's hashes follow as they sign in."""
    from argon2 import PasswordHasher

    ada = await api.sign_up()
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await database.execute("UPDATE users SET password_hash = $2 WHERE id = $1", ada.id, cheap)
    assert (await login(api, ada.email)).status == 200
    renewed = await database.fetchval("SELECT password_hash FROM users WHERE id = $1", ada.id)

    assert renewed != cheap
    assert (await login(api, ada.email)).status == 200
    assert await database.fetchval("SELECT password_hash FROM users WHERE id = $1", ada.id) == renewed


# -- refresh tokens --


async def test_a_refresh_token_is_used_once(api: Api, database: Database) -> None:
    """Each use gives another; a spent one that comes back ends all that came of its sign-in, and nothing else."""
    ada = await api.sign_up()
    elsewhere = (await login(api, ada.email)).json["refresh_token"]
    first = ada.refresh_token
    second = (await refresh(api, first)).json
    third = (await refresh(api, second["refresh_token"])).json
    assert len({first, second["refresh_token"], third["refresh_token"]}) == 3
    assert (await api.call("GET", "/v1/users/me", token=third["access_token"])).status == 200

    await spend_long_ago(database, first)
    stolen = await refresh(api, first)
    assert (stolen.status, stolen.code) == (401, "unauthenticated")
    assert (await refresh(api, third["refresh_token"])).status == 401
    assert (await refresh(api, elsewhere)).status == 200


async def test_a_lost_answer_is_forgiven(api: Api, database: Database) -> None:
    """Within the grace the immediate predecessor gets the same successor, and its predecessor gets nothing."""
    ada = await api.sign_up()
    first = ada.refresh_token
    second = (await refresh(api, first)).json["refresh_token"]
    assert (await refresh(api, first)).json["refresh_token"] == second
    third = (await refresh(api, second)).json["refresh_token"]

    assert (await refresh(api, second)).json["refresh_token"] == third
    assert (await refresh(api, first)).status == 401
    assert (await refresh(api, third)).status == 401, "the grandparent's reuse revokes the family"


async def test_twenty_at_once(api: Api, database: Database) -> None:
    """Twenty tabs that refresh in one moment all stay signed in, with one token between them."""
    for _ in range(3):
        ada = await api.sign_up()
        answers = await asyncio.gather(*(refresh(api, ada.refresh_token) for _ in range(20)))

        assert {a.status for a in answers} == {200}
        (successor,) = {a.json["refresh_token"] for a in answers}
        assert await database.fetchval("SELECT count(*) FROM refresh_tokens WHERE user_id = $1", ada.id) == 2
        assert (await refresh(api, successor)).status == 200


async def test_a_rotation_cannot_slip_past_a_revocation(api: Api, database: Database) -> None:
    """However a thief's reuse and the owner's refresh race, afterwards no token of the family is good."""
    for _ in range(10):
        ada = await api.sign_up()
        second = (await refresh(api, ada.refresh_token)).json["refresh_token"]
        await spend_long_ago(database, ada.refresh_token)
        reuse, rotation = await asyncio.gather(refresh(api, ada.refresh_token), refresh(api, second))
        assert reuse.status == 401
        if rotation.status == 200:
            assert (await refresh(api, rotation.json["refresh_token"])).status == 401
        alive = "SELECT count(*) FROM refresh_tokens WHERE user_id = $1 AND revoked_at IS NULL"
        assert await database.fetchval(alive, ada.id) == 0


async def test_sign_ins_end(api: Api, database: Database) -> None:
    """A refresh token lasts seven days, and its family ninety, however often it is used."""
    ada = await api.sign_up()
    expiry = "SELECT expires_at - issued_at FROM refresh_tokens WHERE user_id = $1 AND used_at IS NULL"
    assert await database.fetchval(expiry, ada.id) == pytest.approx(LIFETIME, abs=timedelta(seconds=5))

    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert FAMILY_LIFETIME > LIFETIME
    await database.execute("UPDATE refresh_tokens SET family_expires_at = $2 WHERE user_id = $1", ada.id, soon)
    last = (await refresh(api, ada.refresh_token)).json["refresh_token"]
    ends = "SELECT expires_at FROM refresh_tokens WHERE user_id = $1 AND used_at IS NULL"
    assert await database.fetchval(ends, ada.id) == soon

    await database.execute("UPDATE refresh_tokens SET expires_at = now() WHERE user_id = $1", ada.id)
    assert (await refresh(api, last)).status == 401


async def test_tokens_do_not_stand_in_for_each_other(api: Api) -> None:
    """A refresh token opens nothing, and an access token refreshes nothing."""
    ada = await api.sign_up()

    for token in (ada.refresh_token, "", "null", "x.y.z"):
        assert (await api.call("GET", "/v1/users/me", token=token)).code == "unauthenticated"
    assert (await refresh(api, ada.signed_in["access_token"])).status == 401
    for scheme in ("Basic", "Token"):
        headers = {"Authorization": f"{scheme} {ada.signed_in['access_token']}"}
        assert (await api.call("GET", "/v1/users/me", headers=headers)).code == "unauthenticated"
    assert (await api.call("GET", f"/v1/users/me?access_token={ada.signed_in['access_token']}")).status == 401


async def test_an_expired_token_says_so(api: Api, stack: Stack) -> None:
    """Who is too late is told `token_expired`, with how to authenticate."""
    ada = await api.sign_up()
    minter = Tokens(TokenSettings.from_env(stack.env), lambda: datetime.now(UTC) - timedelta(hours=2))
    answer = await api.call("GET", "/v1/users/me", token=minter.mint(ada.id, str(uuid4())))

    assert (answer.status, answer.code) == (401, "token_expired")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_token_that_outlives_its_person(api: Api, stack: Stack) -> None:
    """Nobody is not somebody."""
    token = Tokens(TokenSettings.from_env(stack.env)).mint(str(uuid4()), str(uuid4()))
    answer = await api.call("GET", "/v1/users/me", token=token)

    assert (answer.status, answer.code) == (401, "unauthenticated")


# -- signing out --


async def logout(api: Api, body: dict[str, object], token: str | None = None) -> int:
    return (await api.call("POST", "/v1/auth/logout", body, token=token)).status


async def test_signing_out_here(api: Api) -> None:
    """This sign-in ends, whatever of it is presented; others go on; doing it again changes nothing."""
    ada = await api.sign_up()
    elsewhere = (await login(api, ada.email)).json["refresh_token"]
    newest = (await refresh(api, ada.refresh_token)).json["refresh_token"]

    assert await logout(api, {"refresh_token": ada.refresh_token}) == 204
    assert (await refresh(api, newest)).status == 401
    assert await logout(api, {"refresh_token": newest}) == 204
    assert await logout(api, {"refresh_token": "nobody's"}) == 204
    assert (await refresh(api, elsewhere)).status == 200


async def test_signing_out_everywhere(api: Api) -> None:
    """All of one's own sign-ins end, and nobody else's; it takes an access token to say whose."""
    ada, bob = await api.sign_up(), await api.sign_up()
    elsewhere = (await login(api, ada.email)).json["refresh_token"]

    assert await logout(api, {"everywhere": True}) == 401
    assert await logout(api, {"everywhere": True, "refresh_token": ada.refresh_token}) == 401
    assert await logout(api, {}) == 401
    assert await logout(api, {"everywhere": True}, ada.signed_in["access_token"]) == 204
    for token in (ada.refresh_token, elsewhere):
        assert (await refresh(api, token)).status == 401
    assert (await refresh(api, bob.refresh_token)).status == 200


# -- limits --


async def test_guessing_is_slowed_down(stack: Stack) -> None:
    """An address that fails too often waits; one that signs in rightly never does; sign-ups are limited apart."""
    running, url = start_api(stack, CHORUS_FAILED_SIGN_INS_PER_MINUTE="3", CHORUS_SIGN_UPS_PER_MINUTE="2")
    try:
        async with opened(running, url) as api:
            ada = await api.sign_up()
            for _ in range(6):
                assert (await login(api, ada.email)).status == 200
            failures = [await login(api, ada.email, "a wrong password") for _ in range(4)]
            assert [a.status for a in failures] == [401, 401, 401, 429]
            assert failures[-1].code == "rate_limited"
            assert 0 < int(failures[-1].headers["Retry-After"]) <= 20

            await api.sign_up()
            body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "display_name": "Ada"}
            assert (await api.call("POST", "/v1/auth/register", body)).status == 429
    finally:
        await running.stop()


async def test_a_proxy_is_believed_only_by_name(stack: Stack) -> None:
    """X-Forwarded-For moves nobody to another address, unless it comes from a proxy that the settings name."""
    for trusted, statuses in (("", [401, 429]), ("127.0.0.1", [401, 401])):
        running, url = start_api(stack, CHORUS_FAILED_SIGN_INS_PER_MINUTE="1", CHORUS_TRUSTED_PROXIES=trusted)
        try:
            async with opened(running, url) as api:
                body = {"email": "nobody@example.org", "password": PASSWORD}
                answers = [
                    await api.call("POST", "/v1/auth/login", body, headers={"X-Forwarded-For": address})
                    for address in ("192.0.2.1", "192.0.2.2")
                ]
                assert [a.status for a in answers] == statuses
        finally:
            await running.stop()


async def test_profiles_change(api: Api) -> None:
    """One may call oneself something else; what is absent stays; nothing else of oneself can be claimed."""
    ada = await api.sign_up()
    changed = await ada.call(
        "PATCH", "/v1/users/me", {"display_name": "Grace", "id": str(uuid4()), "email": "root@example.org"}
    )
    assert changed.json == ada.signed_in["user"] | {"display_name": "Grace"}

    assert (await ada.call("PATCH", "/v1/users/me", {})).json == changed.json
    assert (await ada.call("GET", "/v1/users/me")).json == changed.json


async def test_no_secret_is_logged(api: Api, api_process: tuple[Running, str]) -> None:
    """What was signed in with in this module is not in the process' log."""
    ada: Someone = await api.sign_up()
    await login(api, ada.email)
    await refresh(api, ada.refresh_token)
    written = api_process[0].output.read_text()

    assert '"event": "request"' in written
    for secret in (PASSWORD, ada.refresh_token, ada.signed_in["access_token"], ada.email):
        assert secret not in written
