"""Mailed links and passwords: who proves a mailbox, who sets a password, and what ends when they do."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from edge import proofs
from edge.proofs import Purpose
from tests.accounts.signing_in import Place, new_address, somebody
from tests.stack.rest_api import PASSWORD, Answer

NEW_PASSWORD = "another horse, another battery"


async def login(place: Place, email: str, password: str) -> Answer:
    return await place.api.call("POST", "/v1/auth/login", {"email": email, "password": password})


async def forgot(place: Place, email: str) -> Answer:
    return await place.api.call("POST", "/v1/auth/password/forgot", {"email": email})


async def reset(place: Place, token: str, password: str = NEW_PASSWORD) -> Answer:
    return await place.api.call("POST", "/v1/auth/password/reset", {"token": token, "password": password})


async def is_signed_in(place: Place, refresh_token: str) -> bool:
    answer = await place.api.call("POST", "/v1/auth/refresh", {"refresh_token": refresh_token})
    return answer.status == 200


# -- signed links --


def test_a_token_is_for_one_purpose_and_one_secret() -> None:
    """What is signed for one purpose, with another secret, or altered by a bit, is nothing."""
    id, secret = uuid4(), b"s" * 32
    token = proofs.sign(id, Purpose.RESET, secret)
    assert proofs.read(token, Purpose.RESET, secret) == id
    assert proofs.read(token, Purpose.VERIFY, secret) is None
    assert proofs.read(token, Purpose.RESET, b"t" * 32) is None
    for place in range(len(token) - 1):
        altered = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert proofs.read(altered, Purpose.RESET, secret) is None
    for junk in ("", "x", "é", "=" * 9, token[:20], token + "AAAA"):
        assert proofs.read(junk, Purpose.RESET, secret) is None


async def test_an_address_is_proven_once(place: Place) -> None:
    """The link that came by mail proves the account's address, once, and only to the account itself."""
    email = new_address()
    ada, eve = await place.api.sign_up(email=email), await place.api.sign_up()
    token = await place.post.token(email, "verify")

    async def verify(who: Any) -> Answer:
        answer: Answer = await who.call("POST", "/v1/auth/email/verify", {"token": token})
        return answer

    assert (await ada.call("GET", "/v1/users/me")).json["email_verified"] is False
    assert (await place.api.call("POST", "/v1/auth/email/verify", {"token": token})).status == 401
    assert (await verify(eve)).fields == {"token"}
    assert (await verify(ada)).status == 204
    assert (await ada.call("GET", "/v1/users/me")).json["email_verified"] is True
    assert (await verify(ada)).fields == {"token"}
    assert (await eve.call("GET", "/v1/users/me")).json["email_verified"] is False


async def test_another_link_is_sent_where_one_is_needed(place: Place, database: Any) -> None:
    """Who asks again gets another, a few times an hour; who has proven it already, none."""
    email = new_address()
    ada = await place.api.sign_up(email=email)
    await place.post.token(email, "verify")
    for _ in range(2 * proofs.MOST_IN_AN_HOUR):
        assert (await ada.call("POST", "/v1/auth/email/verify/send")).status == 202
    token = await place.post.token(email, "verify", count=proofs.MOST_IN_AN_HOUR)
    assert await database.fetchval("SELECT count(*) FROM mail_proofs WHERE user_id = $1", ada.id) == 5
    assert (await ada.call("POST", "/v1/auth/email/verify", {"token": token})).status == 204
    await database.execute("DELETE FROM mail_proofs WHERE user_id = $1", ada.id)
    assert (await ada.call("POST", "/v1/auth/email/verify/send")).status == 202
    assert await database.fetchval("SELECT count(*) FROM mail_proofs WHERE user_id = $1", ada.id) == 0
    assert (await place.api.call("POST", "/v1/auth/email/verify/send")).status == 401


# -- a forgotten password --


async def test_a_forgotten_password_is_replaced(place: Place) -> None:
    """The link sets a new password, once; all sign-ins end; the owner is told."""
    email = new_address()
    ada = await place.api.sign_up(email=email)
    assert (await forgot(place, email.upper())).status == 202
    token = await place.post.token(email, "reset")

    assert (await reset(place, token, "short")).fields == {"password"}
    assert (await reset(place, token)).status == 204
    assert not await is_signed_in(place, ada.refresh_token)
    assert (await login(place, email, PASSWORD)).status == 401
    assert (await login(place, email, NEW_PASSWORD)).json["user"]["email_verified"] is True
    await place.post.to(email, "was changed")
    assert (await reset(place, token, PASSWORD)).fields == {"token"}
    assert (await login(place, email, NEW_PASSWORD)).status == 200


async def test_a_link_is_used_once_however_many_try(place: Place) -> None:
    """Of ten uses at once, one sets its password."""
    email = new_address()
    await place.api.sign_up(email=email)
    await forgot(place, email)
    token = await place.post.token(email, "reset")
    answers = await asyncio.gather(*(reset(place, token, f"password number {n}") for n in range(10)))
    assert sorted(a.status for a in answers) == [204] + [422] * 9


async def test_links_end(place: Place, database: Any) -> None:
    """A link that is too old sets nothing, nor does one from before another was used, nor one for another purpose."""
    email = new_address()
    ada = await place.api.sign_up(email=email)
    assert (await reset(place, await place.post.token(email, "verify"))).fields == {"token"}
    await forgot(place, email)
    first = await place.post.token(email, "reset")
    await forgot(place, email)
    second = await place.post.token(email, "reset", count=2)
    assert (await reset(place, second)).status == 204
    assert (await reset(place, first)).fields == {"token"}

    await forgot(place, email)
    third = await place.post.token(email, "reset", count=3)
    await database.execute("UPDATE mail_proofs SET expires_at = now() WHERE user_id = $1", ada.id)
    assert (await reset(place, third)).fields == {"token"}
    assert (await login(place, email, NEW_PASSWORD)).status == 200


async def test_nobody_learns_who_has_an_account(place: Place) -> None:
    """For an address that nobody has, the answer is the same, and no mail is sent."""
    known, unknown = new_address(), new_address()
    await place.api.sign_up(email=known)
    answers = [await forgot(place, email) for email in (unknown, known)]
    assert {(a.status, a.text) for a in answers} == {(202, "")}
    await place.post.token(known, "reset")
    assert unknown not in {mail["To"] for mail in place.post.mails}


async def test_whoever_signed_up_with_a_strangers_address_is_out(place: Place) -> None:
    """Somebody signs up with a stranger's address and adds a way in of their own; when the stranger, who reads the
    mail, sets a password, the account is the stranger's alone."""
    email = new_address()
    squatter = await place.api.sign_up(email=email)
    place.tiktok.account = somebody()
    async with place.browser() as browser:
        path = "/v1/users/me/identities/tiktok/start"

        async def begin() -> str:
            way = await browser.api.call("POST", path, token=squatter.signed_in["access_token"])
            return await browser.agree(way.json["url"])

        await browser.arrive(await begin())
        begun = await begin()
        assert (await browser.sign_in("tiktok")).headers["Location"] == "/"
        assert (await browser.refresh()).json["user"]["id"] == squatter.id

        await forgot(place, email)
        assert (await reset(place, await place.post.token(email, "reset"))).status == 204

        assert (await browser.refresh()).status == 401
        assert not await is_signed_in(place, squatter.refresh_token)
        await browser.arrive(begun)
        await browser.sign_in("tiktok")
        assert (await browser.refresh()).json["user"]["id"] != squatter.id


async def test_a_reset_keeps_what_its_owner_added(place: Place) -> None:
    """Where the address was proven before, other ways in stay."""
    place.google.account = account = somebody(new_address())
    assert account.email is not None
    async with place.browser() as browser:
        await browser.sign_in("google")
        first = (await browser.refresh()).json["user"]["id"]
        await forgot(place, account.email)
        assert (await reset(place, await place.post.token(account.email, "reset"))).status == 204
        assert (await browser.refresh()).status == 401
        await browser.sign_in("google")
        assert (await browser.refresh()).json["user"]["id"] == first


# -- changing it --


async def change(who: Any, current: str | None, new: str = NEW_PASSWORD) -> Answer:
    body = {"new_password": new} | ({} if current is None else {"current_password": current})
    answer: Answer = await who.call("POST", "/v1/users/me/password", body)
    return answer


async def test_a_password_is_changed_by_who_knows_it(place: Place) -> None:
    """The current one is needed; afterwards all sign-ins have ended, the old one is none, and the owner is told."""
    email = new_address()
    ada = await place.api.sign_up(email=email)
    for wrong in (None, "", "wrong", NEW_PASSWORD):
        assert (await change(ada, wrong)).fields == {"current_password"}
    assert (await change(ada, PASSWORD, "short")).fields == {"new_password"}
    assert (await login(place, email, PASSWORD)).status == 200
    assert (await change(ada, PASSWORD)).status == 204
    assert not await is_signed_in(place, ada.refresh_token)
    assert (await login(place, email, PASSWORD)).status == 401
    assert (await login(place, email, NEW_PASSWORD)).status == 200
    await place.post.to(email, "was changed")


@pytest.mark.parametrize("provider", ["google", "tiktok"])
async def test_a_first_password(place: Place, provider: str) -> None:
    """Who came by a provider may set one, where there is an address to sign in with; then the provider may go."""
    email = new_address() if provider == "google" else None
    place.account(provider, somebody(email))
    async with place.browser() as browser:
        await browser.sign_in(provider)
        token = await browser.token()
        answer = await place.api.call("POST", "/v1/users/me/password", {"new_password": NEW_PASSWORD}, token=token)
        assert answer.status == (204 if email else 409)
        if email:  # the new password has ended the sign-in by the provider
            token = (await login(place, email, NEW_PASSWORD)).json["access_token"]
        removed = await place.api.call("DELETE", f"/v1/users/me/identities/{provider}", token=token)
        assert removed.status == (204 if email else 409)
    if email:
        assert (await login(place, email, NEW_PASSWORD)).status == 200


async def test_sign_ins_are_in_the_audit_log(place: Place, database: Any) -> None:
    """Who signed up, in, failed to, and changed a password stands there in OWASP's words, with no address of theirs."""
    email = new_address()
    ada = await place.api.sign_up(email=email)
    await login(place, email, "wrong")
    await login(place, email, PASSWORD)
    await change(ada, "wrong")
    await change(ada, PASSWORD)
    rows = await database.fetch(
        "SELECT event, result, audit_log::text AS all FROM audit_log WHERE actor_id = $1 OR user_id = $1 ORDER BY at",
        ada.id,
    )
    assert [(row["event"], row["result"]) for row in rows] == [
        ("user_created", "success"),
        ("authn_login_fail", "failure"),
        ("authn_login_success", "success"),
        ("authn_password_change_fail", "failure"),
        ("authn_token_revoked", "success"),
        ("authn_password_change", "success"),
    ]
    assert not any(email in row["all"] for row in rows)
