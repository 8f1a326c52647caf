"""Access tokens: what is accepted, and everything that looks like one and is not."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from edge.errors import Refused
from edge.tokens import ACCESS_LIFETIME, AUDIENCE, ISSUER, LEEWAY, Tokens, TokenSettings
from infra.settings import BadSetting
from schemas.frames import ErrorCode

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = b"s" * 64
OTHER = b"o" * 64
USER, SIGN_IN = str(uuid4()), str(uuid4())


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def tokens(clock: Clock | None = None, **settings: Any) -> Tokens:
    return Tokens(TokenSettings(**{"kid": "new", "secret": SECRET} | settings), clock or Clock())


def forged(
    changes: dict[str, Any] | None = None, *, key: Any = SECRET, algorithm: str = "HS256", kid: Any = "new"
) -> str:
    """A token with the claims of a good one but for `changes`; a claim that is changed to None is left out."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": USER,
        "sid": SIGN_IN,
        "jti": str(uuid4()),
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + ACCESS_LIFETIME).timestamp()),
        "typ": "access",
    } | (changes or {})
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm, headers)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def refusal(verifier: Tokens, token: str) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        verifier.verify(token)
    return refused.value.code


def test_what_is_minted_is_verified() -> None:
    """A token speaks for the person it was minted for, for an hour."""
    principal = tokens().verify(tokens().mint(USER, SIGN_IN))

    assert (principal.user_id, principal.sign_in_id) == (USER, SIGN_IN)
    assert principal.expires_at == NOW + timedelta(hours=1)


def test_no_two_tokens_share_an_id() -> None:
    """Each token can be told apart from every other."""
    minted = [tokens().verify(tokens().mint(USER, SIGN_IN)).token_id for _ in range(100)]

    assert len(set(minted)) == 100


def test_the_forger_of_these_tests_makes_good_tokens() -> None:
    """What the tables below refuse, they refuse for the one thing that is changed."""
    assert tokens().verify(forged()).user_id == USER


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "somebody"}, id="another issuer"),
        pytest.param({"aud": "another-api"}, id="another audience"),
        pytest.param({"aud": [AUDIENCE, "another-api"]}, id="several audiences"),
        pytest.param({"typ": "refresh"}, id="a refresh token"),
        pytest.param({"typ": "agent"}, id="an agent's token"),
        pytest.param({"sub": "root"}, id="a subject that is no id"),
        pytest.param({"sub": 7}, id="a subject that is no text"),
        pytest.param({"jti": "1"}, id="a token id that is no id"),
        pytest.param({"sid": "1"}, id="a sign-in that is no id"),
        pytest.param({"sid": ["x"]}, id="a list of sign-ins"),
        pytest.param({"iat": int((NOW + timedelta(minutes=5)).timestamp())}, id="minted in the future"),
        pytest.param({"exp": "tomorrow"}, id="an end that is no time"),
        pytest.param({"exp": True}, id="an end that is a truth"),
        pytest.param({"exp": 1e300}, id="an end after the end of time"),
        pytest.param({"nbf": int((NOW + timedelta(days=36500)).timestamp())}, id="not valid yet"),
        *(pytest.param({name: None}, id=f"no {name}") for name in ("iss", "aud", "sub", "jti", "iat", "exp", "typ")),
    ],
)
def test_other_claims_are_refused(changes: dict[str, Any]) -> None:
    """A token that is signed with our key is still refused unless every claim is that of an access token."""
    assert refusal(tokens(), forged(changes)) == ErrorCode.UNAUTHENTICATED


_rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_public_pem = _rsa.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(lambda: forged(key=OTHER), id="signed with another key"),
        pytest.param(lambda: forged(kid="old"), id="a key id that nobody has"),
        pytest.param(lambda: forged(kid=None), id="no key id"),
        pytest.param(lambda: forged(kid="../../etc/passwd"), id="a key id that is a path"),
        pytest.param(lambda: forged(kid="' OR 1=1 --"), id="a key id that is SQL"),
        pytest.param(lambda: forged(key=None, algorithm="none"), id="unsigned"),
        pytest.param(lambda: forged(algorithm="HS384"), id="another hash"),
        pytest.param(lambda: forged(algorithm="HS512"), id="yet another hash"),
        pytest.param(lambda: forged(key=_rsa, algorithm="RS256"), id="RSA"),
        pytest.param(lambda: forged().rpartition(".")[0] + ".", id="without its signature"),
        pytest.param(lambda: forged()[:-4] + "AAAA", id="with another signature"),
        pytest.param(
            lambda: ".".join((forged().split(".")[0], part({"sub": str(uuid4())}), forged().split(".")[2])),
            id="with another payload",
        ),
        pytest.param(lambda: f"{part({'alg': 'None', 'kid': 'new'})}.{forged().split('.')[1]}.", id="alg None"),
        pytest.param(
            lambda: f"{part({'alg': 'HS256', 'kid': ['new']})}.{forged().split('.')[1]}.AAAA", id="a list of key ids"
        ),
        pytest.param(lambda: f"{part([])}.{part([])}.", id="lists for objects"),
        pytest.param(lambda: "", id="nothing"),
        pytest.param(lambda: "Bearer", id="a word"),
        pytest.param(lambda: "a.b.c", id="three letters"),
        pytest.param(lambda: "\ud800.é.\0", id="no ASCII"),
        pytest.param(lambda: forged({"pad": "x" * 5000}), id="too long"),
    ],
)
def test_other_signatures_are_refused(token: Any) -> None:
    """Nothing but HS256 with a key that is in use proves who calls."""
    assert refusal(tokens(), token()) == ErrorCode.UNAUTHENTICATED


def test_a_public_key_is_no_secret() -> None:
    """A verifier that took the header's word would check an HMAC with a public key; ours knows only its own."""
    header, payload = part({"alg": "HS256", "kid": "new", "jwk": {"kty": "oct"}}), forged().split(".")[1]
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{header}.{payload}".encode(), _public_pem)
    token = f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    assert refusal(tokens(), token) == ErrorCode.UNAUTHENTICATED


def test_age_has_a_code_of_its_own() -> None:
    """Who is told `token_expired` knows that a refresh helps; clocks may differ by the leeway and no more."""
    clock = Clock()
    verifier, token = tokens(clock), forged()
    clock.now = NOW + ACCESS_LIFETIME + LEEWAY - timedelta(seconds=1)
    verifier.verify(token)
    clock.now = NOW + ACCESS_LIFETIME + LEEWAY

    assert refusal(verifier, token) == ErrorCode.TOKEN_EXPIRED
    assert timedelta(seconds=30) >= LEEWAY


def test_a_token_that_cannot_be_revoked_is_renewed() -> None:
    """One without its sign-in, of the version before, is too old: whoever has it refreshes, and is not signed out."""
    assert refusal(tokens(), forged({"sid": None})) == ErrorCode.TOKEN_EXPIRED


def test_the_signature_is_judged_before_the_age() -> None:
    """A forged token learns nothing about what it would have meant."""
    clock = Clock()
    clock.now = NOW + timedelta(days=1)

    assert refusal(tokens(clock), forged(key=OTHER)) == ErrorCode.UNAUTHENTICATED


def test_two_keys_live_at_once() -> None:
    """A key changes without signing anyone out: the previous one verifies, and mints no more."""
    before = tokens(kid="old", secret=OTHER)
    after = tokens(previous_kid="old", previous_secret=OTHER)

    assert after.verify(before.mint(USER, SIGN_IN)).user_id == USER
    assert jwt.get_unverified_header(after.mint(USER, SIGN_IN))["kid"] == "new"
    assert refusal(before, after.mint(USER, SIGN_IN)) == ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({}, id="no secret"),
        pytest.param({"CHORUS_JWT_SECRET": "s" * 31}, id="31 bytes"),
        pytest.param(
            {"CHORUS_JWT_SECRET": "s" * 32, "CHORUS_JWT_PREVIOUS_SECRET": "short", "CHORUS_JWT_PREVIOUS_KID": "0"},
            id="a short previous one",
        ),
        pytest.param({"CHORUS_JWT_SECRET": "s" * 32, "CHORUS_JWT_PREVIOUS_SECRET": "o" * 32}, id="half a pair"),
        pytest.param(
            {"CHORUS_JWT_SECRET": "s" * 32, "CHORUS_JWT_PREVIOUS_SECRET": "o" * 32, "CHORUS_JWT_PREVIOUS_KID": "1"},
            id="two keys of one id",
        ),
    ],
)
def test_weak_settings_are_refused(env: dict[str, str]) -> None:
    """A process does not start with a key that could be guessed, or with two that cannot be told apart."""
    with pytest.raises(BadSetting, match="CHORUS_JWT"):
        TokenSettings.from_env(env)


def test_secrets_stay_out_of_logs() -> None:
    """Settings can be printed."""
    assert "ssss" not in repr(TokenSettings("1", b"s" * 32))
