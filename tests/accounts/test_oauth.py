"""Signing in through Google, Facebook and TikTok, against providers as strict as the real ones."""

import asyncio
import base64
import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from uuid import uuid4

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from edge.oauth.flow import ProviderFailed, Trip
from edge.oauth.tiktok import TikTok
from infra.stack.ports import free_port
from tests.accounts.providers import tiktok
from tests.accounts.providers.facebook import signed_request
from tests.accounts.providers.google import CLIENT_ID, CLIENT_SECRET
from tests.accounts.providers.serving import serving
from tests.accounts.signing_in import PROVIDERS, Place, error_of, new_address, somebody
from tests.running import DEADLINE_S
from tests.stack.rest_api import PASSWORD

each_provider = pytest.mark.parametrize("provider", PROVIDERS)


@each_provider
async def test_who_comes_by_a_provider_is_let_in(place: Place, provider: str) -> None:
    """A new person gets an account; the refresh token is a cookie that no script reads; the same person comes back."""
    email = None if provider == "tiktok" else new_address()
    place.account(provider, somebody(email, name="Ada Lovelace"))
    async with place.browser() as browser, place.browser() as another:
        arrived = await browser.sign_in(provider, next="/c/1?x=y")
        assert (arrived.status, arrived.headers["Location"]) == (302, "/c/1?x=y")
        cookie = arrived.headers["Set-Cookie"]
        assert cookie.startswith("chorus_refresh=")
        assert {"HttpOnly", "Path=/v1/auth", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}

        refreshed = await browser.refresh()
        assert refreshed.json["refresh_token"] is None
        user = refreshed.json["user"]
        assert (user["display_name"], user["email"]) == ("Ada Lovelace", email)
        assert user["email_verified"] == (provider == "google")
        token = await browser.token()
        assert len((await place.api.call("GET", "/v1/projects", token=token)).json["data"]) == 1

        await another.sign_in(provider)
        assert (await another.refresh()).json["user"] == user


async def test_the_page_is_told_who_is_on(place: Place) -> None:
    """The configuration lists the providers that are switched on."""
    assert (await place.api.call("GET", "/v1/config")).json["oauth_providers"] == sorted(PROVIDERS)


async def test_what_is_not_switched_on_is_not_there(api: Any) -> None:
    """Without its settings a provider does not exist."""
    assert (await api.call("GET", "/v1/config")).json["oauth_providers"] == []
    assert (await api.call("GET", "/v1/auth/oauth/google/start")).status == 404
    assert (await api.call("GET", "/v1/auth/oauth/google/callback?code=x&state=y")).status == 404
    assert (await api.call("POST", "/v1/auth/oauth/facebook/deletion")).status == 404


async def test_signing_out_with_the_cookie(place: Place) -> None:
    """The sign-in ends and the cookie is gone."""
    place.google.account = somebody(new_address())
    async with place.browser() as browser:
        await browser.sign_in("google")
        kept = {c.key: c.value for c in browser.api.http.cookie_jar}["chorus_refresh"]
        assert (await browser.api.call("POST", "/v1/auth/logout")).status == 204
        assert "chorus_refresh" not in {c.key for c in browser.api.http.cookie_jar}
        assert (await place.api.call("POST", "/v1/auth/refresh", {"refresh_token": kept})).status == 401


# -- state, and where a browser may be sent ----------------------------------------------------------------------------


@each_provider
async def test_a_state_belongs_to_one_browser(place: Place, provider: str) -> None:
    """A callback that another browser began signs nobody in: an attacker's code cannot be slipped to a victim."""
    place.account(provider, somebody())
    async with place.browser() as attacker, place.browser() as victim:
        callback = await attacker.agree(await attacker.start(provider))
        for begin_first in (False, True):
            if begin_first:
                await victim.start(provider)
                callback = await attacker.agree(await attacker.start(provider))
            arrived = await victim.arrive(callback)
            assert error_of(arrived) == "expired"
            assert "chorus_refresh" not in arrived.headers.get("Set-Cookie", "")
        assert (await victim.refresh()).status == 401


@each_provider
async def test_a_state_works_once(place: Place, provider: str) -> None:
    """The same callback again, and one with the same state and a fresh code, are refused."""
    place.account(provider, somebody())
    async with place.browser() as browser:
        address = await browser.start(provider)
        callback, fresh = await browser.agree(address), await browser.agree(address)
        assert (await browser.arrive(callback)).headers["Location"] == "/"
        assert error_of(await browser.arrive(callback)) == "expired"
        assert error_of(await browser.arrive(fresh)) == "expired"


async def test_a_state_belongs_to_one_provider(place: Place) -> None:
    """Another provider's state is refused, and so is an answer that says it is another issuer's (mix-up)."""
    place.account("google", somebody())
    place.account("facebook", somebody())
    async with place.browser() as browser:
        callback = await browser.agree(await browser.start("facebook"))
        assert error_of(await browser.arrive(callback.replace("facebook", "google"))) == "expired"
        callback = await browser.agree(await browser.start("google"))
        mixed = callback.replace("iss=http", "iss=https")
        assert mixed != callback
        assert error_of(await browser.arrive(mixed)) == "provider_failed"


async def test_a_state_ends(place: Place, database: Any) -> None:
    """After ten minutes a way is over."""
    place.account("google", somebody())
    async with place.browser() as browser:
        callback = await browser.agree(await browser.start("google"))
        left = await database.fetchval("SELECT max(expires_at) - now() FROM oauth_states")
        assert 590 < left.total_seconds() <= 600
        await database.execute("UPDATE oauth_states SET expires_at = now()")
        assert error_of(await browser.arrive(callback)) == "expired"


@pytest.mark.parametrize(
    "query", ["", "code=x", "state=", "code=x&state=made-up", "error=access_denied", "code=x&state=" + "s" * 5000]
)
async def test_callbacks_that_nobody_began(place: Place, query: str) -> None:
    """What has no state of ours goes back to the page with a code that says so."""
    async with place.browser() as browser:
        await browser.start("google")
        assert error_of(await browser.arrive(f"/v1/auth/oauth/google/callback?{query}")) == "expired"


@pytest.mark.parametrize(
    "next",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/a//evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " /a",
        "/a b",
        "evil.example",
        "",
        "/\u2028x",
        "/" + "a" * 600,
    ],
)
async def test_next_leads_nowhere_else(place: Place, next: str) -> None:
    """Only a path of ours is taken, in both ways to begin; anything else is refused before anybody is sent away."""
    answer = await place.api.call("GET", f"/v1/auth/oauth/google/start?next={quote(next)}")
    assert (answer.status, answer.fields) == (422, {"next"})
    ada = await place.api.sign_up()
    answer = await ada.call("POST", "/v1/users/me/identities/google/start", {"next": next})
    assert (answer.status, answer.fields) == (422, {"next"})


# -- what providers answer ---------------------------------------------------------------------------------------------


@each_provider
async def test_somebody_says_no(place: Place, provider: str) -> None:
    """Who declines at the provider is back on the page, which is told so."""
    async with place.browser() as browser:
        assert error_of(await browser.sign_in(provider)) == "denied"
        assert (await browser.refresh()).status == 401


@each_provider
async def test_a_provider_that_is_down(place: Place, provider: str) -> None:
    """Its failure is told as its own; nobody is signed in."""
    place.account(provider, somebody())
    getattr(place, provider).down = True
    async with place.browser() as browser:
        assert error_of(await browser.sign_in(provider)) == "provider_unavailable"


@each_provider
async def test_a_code_works_once_and_for_whom_it_was_given(place: Place, provider: str) -> None:
    """A code that was used, was made up, or belongs to another way (PKCE, or for TikTok its own rules) is refused."""
    place.account(provider, somebody())
    async with place.browser() as browser:
        used = await browser.agree(await browser.start(provider))
        await browser.arrive(used)
        unused = await browser.agree(await browser.start(provider))
        for stolen in (used, unused if provider != "tiktok" else used):
            code = parse_qs(urlsplit(stolen).query)["code"][0]
            callback = await browser.agree(await browser.start(provider))
            state = parse_qs(urlsplit(callback).query)["state"][0]
            path = urlsplit(callback).path
            answer = await browser.arrive(f"{path}?{urlencode({'state': state, 'code': code})}")
            assert error_of(answer) == "provider_failed"


def _unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, algorithm="none")  # type: ignore[arg-type]


def _with_the_secret(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, CLIENT_SECRET, algorithm="HS256")


def _by_a_stranger(claims: dict[str, Any]) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "unknown"})


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": [CLIENT_ID, "another-client"]},
        {"aud": None},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"iat": int(time.time()) + 3600},
        {"nonce": "another nonce"},
        {"nonce": None},
        {"sub": None},
    ],
    ids=lambda claims: " ".join(
        f"{name}:{value if isinstance(value, str) else type(value).__name__}" for name, value in claims.items()
    ),
)
async def test_an_id_token_that_is_not_for_us(place: Place, claims: dict[str, Any]) -> None:
    """Another issuer, audience, time or nonce, or none, signs nobody in."""
    place.google.account, place.google.claims = somebody(new_address()), claims
    async with place.browser() as browser:
        assert error_of(await browser.sign_in("google")) == "provider_failed"


@pytest.mark.parametrize("forged", [_unsigned, _with_the_secret, _by_a_stranger])
async def test_an_id_token_that_google_did_not_sign(place: Place, forged: Any) -> None:
    """Unsigned, signed with what we know ourselves, or by a key that Google does not publish."""
    place.google.account, place.google.forged = somebody(new_address()), forged
    async with place.browser() as browser:
        assert error_of(await browser.sign_in("google")) == "provider_failed"


async def test_google_changes_its_keys(place: Place) -> None:
    """A key that is new is looked for."""
    place.google.account = somebody(new_address())
    async with place.browser() as browser:
        assert (await browser.sign_in("google")).headers["Location"] == "/"
        place.google.rotate()
        assert (await browser.sign_in("google")).headers["Location"] == "/"


async def test_tiktoks_user_is_the_tokens(place: Place) -> None:
    """User info about somebody else signs nobody in."""
    place.tiktok.account, place.tiktok.impostor = somebody(), "somebody-else"
    async with place.browser() as browser:
        assert error_of(await browser.sign_in("tiktok")) == "provider_failed"


async def test_what_the_ways_look_like(place: Place) -> None:
    """PKCE S256 for Google and Facebook, none for TikTok on the web; a nonce for Google; TikTok's own words."""
    async with place.browser() as browser:
        query = {name: parse_qs(urlsplit(await browser.start(name)).query) for name in PROVIDERS}
    for name in ("google", "facebook"):
        assert query[name]["code_challenge_method"] == ["S256"]
        assert len(base64.urlsafe_b64decode(query[name]["code_challenge"][0] + "=")) == 32
    assert len(query["google"]["nonce"][0]) >= 32
    assert {"client_key", "state", "scope", "response_type", "redirect_uri"} == set(query["tiktok"])
    assert all(len(q["state"][0]) >= 32 for q in query.values())


# -- whose account -----------------------------------------------------------------------------------------------------


async def verified(place: Place, email: str) -> Any:
    """Somebody with a password who has proven their address."""
    ada = await place.api.sign_up(email=email)
    token = await place.post.token(email, "verify")
    assert (await ada.call("POST", "/v1/auth/email/verify", {"token": token})).status == 204
    return ada


async def test_a_proven_address_leads_to_its_account(place: Place) -> None:
    """Google says that the mailbox is theirs, and so did the account's owner: one account with two ways in."""
    email = new_address()
    ada = await verified(place, email)
    place.google.account = somebody(email.upper())
    async with place.browser() as browser:
        await browser.sign_in("google")
        assert (await browser.refresh()).json["user"]["id"] == ada.id


@pytest.mark.parametrize(
    ("provider", "provider_says", "account_says"),
    [("google", True, False), ("google", False, True), ("google", False, False), ("facebook", True, True)],
)
async def test_an_address_that_one_side_only_claims(
    place: Place, provider: str, provider_says: bool, account_says: bool
) -> None:
    """Neither who signed up first with a stranger's address gets the stranger, nor a claimant the owner's account."""
    email = new_address()
    ada = await verified(place, email) if account_says else await place.api.sign_up(email=email)
    place.account(provider, somebody(email, email_verified=provider_says))
    async with place.browser() as browser:
        assert error_of(await browser.sign_in(provider)) == "email_taken"
        assert (await browser.refresh()).status == 401
    assert (await ada.call("GET", "/v1/users/me/identities")).json == {"data": [], "has_password": True}


async def test_people_are_known_by_subject(place: Place) -> None:
    """A changed address changes nobody; the same address with another subject is somebody else."""
    email, account = new_address(), somebody(new_address())
    place.google.account = account
    async with place.browser() as browser, place.browser() as other:
        await browser.sign_in("google")
        first = (await browser.refresh()).json["user"]["id"]
        account.email = email
        await browser.sign_in("google")
        assert (await browser.refresh()).json["user"]["id"] == first
        place.facebook.account = somebody(email)
        await other.sign_in("facebook")
        assert (await other.refresh()).json["user"]["id"] != first


@pytest.mark.parametrize("email", ["not an address", "a@b", "x" * 400 + "@example.org", "a\0@example.org"])
async def test_what_a_provider_calls_an_address(place: Place, email: str) -> None:
    """An address that cannot be one is as none; a name that cannot be shown is replaced."""
    place.google.account = somebody(email, name="\0\n")
    async with place.browser() as browser:
        assert (await browser.sign_in("google")).headers["Location"] == "/"
        user = (await browser.refresh()).json["user"]
        assert (user["email"], user["display_name"]) == (None, "Google")


async def test_two_tabs_at_once(place: Place, database: Any) -> None:
    """Who signs in for the first time in two tabs at once has one account."""
    place.google.account = account = somebody(new_address())
    async with place.browser() as browser:
        ways = [await browser.agree(await browser.start("google")) for _ in range(4)]
        arrived = await asyncio.gather(*(browser.arrive(way) for way in ways))
    assert {answer.headers["Location"] for answer in arrived} == {"/"}
    assert await database.fetchval("SELECT count(*) FROM users WHERE email = $1", account.email) == 1


async def test_ways_in_are_added_and_removed(place: Place, database: Any) -> None:
    """Several identities open one account; the last way in cannot be removed, however many are removed at once."""
    place.google.account, place.tiktok.account = somebody(new_address()), somebody()
    async with place.browser() as browser:
        await browser.sign_in("google")
        token = await browser.token()

        async def me(method: str, path: str = "", **more: Any) -> Any:
            return await browser.api.call(method, f"/v1/users/me/identities{path}", token=token, **more)

        assert (await me("DELETE", "/google")).status == 409
        way = await me("POST", "/tiktok/start", body={"next": "/settings"})
        arrived = await browser.arrive(await browser.agree(way.json["url"]))
        assert arrived.headers["Location"] == "/settings"
        assert [i["provider"] for i in (await me("GET")).json["data"]] == ["google", "tiktok"]
        assert (await me("DELETE", "/facebook")).status == 404

        # Held until both have begun, so that each would see the other's way in if it did not wait.
        async with database.transaction():
            await database.execute(
                "SELECT FROM identities JOIN users ON id = user_id WHERE subject = $1 FOR UPDATE OF users",
                place.google.account.subject,
            )
            both = [asyncio.create_task(me("DELETE", f"/{name}")) for name in ("google", "tiktok")]
            async with asyncio.timeout(DEADLINE_S):
                while (  # noqa: ASYNC110  # PostgreSQL tells nobody who waits
                    await database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < len(both)
                ):
                    await asyncio.sleep(0.02)
        answers = await asyncio.gather(*both)
        assert sorted(a.status for a in answers) == [204, 409]
        assert len((await me("GET")).json["data"]) == 1


async def test_an_identity_is_one_persons(place: Place) -> None:
    """What opens one account cannot be added to another; nor can a second of the same provider."""
    place.google.account = first = somebody(new_address())
    async with place.browser() as browser, place.browser() as other:
        await browser.sign_in("google")
        bob = await place.api.sign_up()

        async def add() -> str:
            path = "/v1/users/me/identities/google/start"
            way = await other.api.call("POST", path, token=bob.signed_in["access_token"])
            arrived = await other.arrive(await other.agree(way.json["url"]))
            assert arrived.status == 302
            return arrived.headers["Location"]

        assert await add() == "/?error=identity_taken&provider=google"
        place.google.account = somebody(new_address())
        assert await add() == "/"
        assert await add() == "/", "adding it again changes nothing"
        place.google.account = somebody(new_address())
        assert await add() == "/?error=provider_taken&provider=google"
        place.google.account = first
        assert (await other.refresh()).status == 401, "adding signs nobody in"


async def test_an_added_identity_needs_the_browser_that_began(place: Place) -> None:
    """Nobody has their identity added to a stranger's account by a link that they are sent."""
    place.google.account = somebody(new_address())
    ada = await place.api.sign_up()
    async with place.browser() as attacker, place.browser() as victim:
        path = "/v1/users/me/identities/google/start"
        way = await attacker.api.call("POST", path, token=ada.signed_in["access_token"])
        callback = await victim.agree(way.json["url"])
        assert error_of(await victim.arrive(callback)) == "expired"
    assert (await ada.call("GET", "/v1/users/me/identities")).json["data"] == []


# -- the cookie --------------------------------------------------------------------------------------------------------


async def test_other_sites_cannot_use_the_cookie(place: Place) -> None:
    """A page of another origin, though it may be of the same site, gets no tokens and signs nobody out."""
    place.google.account = somebody(new_address())
    async with place.browser() as browser:
        await browser.sign_in("google")
        for origin in (
            "https://evil.example",
            "http://127.0.0.1:1",
            "null",
            "http://[",
            place.api.url.replace("http", "https") + ".x",
        ):
            for path in ("/v1/auth/refresh", "/v1/auth/logout"):
                answer = await browser.api.call("POST", path, headers={"Origin": origin})
                assert (answer.status, answer.code) == (403, "forbidden_origin")
        assert (await browser.refresh(Origin=place.api.url)).status == 200


async def test_no_code_and_no_token_is_logged(place: Place, sign_in_process: Any) -> None:
    """Neither what providers gave nor what we gave stands in the process' log, nor whose it was."""
    secrets = []
    for provider in PROVIDERS:
        account = somebody(new_address(), name=f"Ada {uuid4().hex}")
        place.account(provider, account)
        async with place.browser() as browser:
            callback = await browser.agree(await browser.start(provider))
            query = parse_qs(urlsplit(callback).query)
            await browser.arrive(callback)
            await browser.arrive(callback)
            secrets += [query["code"][0], query["state"][0], account.name, account.subject]
            secrets += [c.value for c in browser.api.http.cookie_jar]
            secrets.append(await browser.token())
    written = sign_in_process[0].output.read_text()
    assert '"path": "/v1/auth/oauth/google/callback"' in written
    for secret in [*secrets, "ya29.secret-access-token", CLIENT_SECRET]:
        assert secret not in written


# -- Facebook asks us to forget somebody -------------------------------------------------------------------------------


async def forget(place: Place, signed: str) -> Any:
    return await place.api.call("POST", "/v1/auth/oauth/facebook/deletion", data={"signed_request": signed})


async def outcome(place: Place, answer: Any) -> str:
    assert answer.status == 200, answer
    assert answer.json["confirmation_code"] in answer.json["url"]
    path = urlsplit(answer.json["url"]).path
    return str((await place.api.call("GET", path)).json["outcome"])


async def test_facebook_has_somebody_forgotten(place: Place) -> None:
    """An account that only Facebook opened is deleted, and there is an address that says so."""
    place.facebook.account = account = somebody(new_address())
    async with place.browser() as browser:
        await browser.sign_in("facebook")
        first = (await browser.refresh()).json["user"]["id"]
        assert await outcome(place, await forget(place, signed_request(account.subject))) == "deleted"
        assert (await browser.refresh()).status == 401
        assert await outcome(place, await forget(place, signed_request(account.subject))) == "unknown"
        await browser.sign_in("facebook")
        assert (await browser.refresh()).json["user"]["id"] != first


async def test_who_has_another_way_in_is_unlinked(place: Place) -> None:
    """An account with a password stays, without what came of Facebook; its sign-ins have ended."""
    place.facebook.account = account = somebody(new_address())
    ada = await place.api.sign_up()
    async with place.browser() as browser:
        path = "/v1/users/me/identities/facebook/start"
        way = await browser.api.call("POST", path, token=ada.signed_in["access_token"])
        await browser.arrive(await browser.agree(way.json["url"]))
    assert len((await ada.call("GET", "/v1/users/me/identities")).json["data"]) == 1
    assert await outcome(place, await forget(place, signed_request(account.subject))) == "unlinked"
    assert (await ada.call("GET", "/v1/users/me/identities")).status == 401
    again = await place.api.call("POST", "/v1/auth/login", {"email": ada.email, "password": PASSWORD})
    listed = await place.api.call("GET", "/v1/users/me/identities", token=again.json["access_token"])
    assert listed.json["data"] == []


def _altered(signed: str) -> str:
    signature, _, payload = signed.partition(".")
    body = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | {"expires": 1}
    return f"{signature}.{base64.urlsafe_b64encode(json.dumps(body).encode()).decode()}"


async def test_only_facebook_has_people_forgotten(place: Place) -> None:
    """Without the app's signature nothing is deleted."""
    place.facebook.account = account = somebody(new_address())
    async with place.browser() as browser:
        await browser.sign_in("facebook")
        good = signed_request(account.subject)
        for bad in (
            "",
            ".",
            "a.b",
            "é.é",
            good.split(".")[1],
            _altered(good),
            signed_request(account.subject, secret="another"),
            signed_request(account.subject, algorithm="none"),
        ):
            answer = await forget(place, bad)
            assert (answer.status, answer.fields) == (422, {"signed_request"})
        assert (await browser.refresh()).status == 200


# -- TikTok's own PKCE -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pkce", [True, False])
async def test_tiktoks_codes_are_of_no_use_to_whoever_takes_them(pkce: bool) -> None:
    """With PKCE, whose challenge is hexadecimal there, a code is taken with its own verifier alone; a client that
    may not use it does without."""
    callback, port = "http://127.0.0.1/v1/auth/oauth/tiktok/callback", free_port()
    site = f"http://127.0.0.1:{port}"
    provider = tiktok.TikTok(site, callback, account=tiktok.Account("open-id-1"), web_pkce=pkce)
    trip = Trip(state="s", nonce="n", verifier="v" * 43, callback=callback)
    async with serving(provider.app(), port), aiohttp.ClientSession() as http:
        asks = TikTok(http, site, site, tiktok.CLIENT_KEY, tiktok.CLIENT_SECRET, pkce=pkce)

        async def code() -> str:
            async with http.get(await asks.address(trip), allow_redirects=False) as agreed:
                return parse_qs(urlsplit(agreed.headers["Location"]).query)["code"][0]

        assert (await asks.identity(await code(), trip)).subject == "open-id-1"
        if pkce:
            with pytest.raises(ProviderFailed, match="invalid_request"):
                await asks.identity(await code(), replace(trip, verifier="w" * 43))
