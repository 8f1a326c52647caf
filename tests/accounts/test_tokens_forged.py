"""What looks like an access token and is none, at every door: REST, hello, and the socket's subprotocol."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.stack.ports import free_port
from tests.running import Stack
from tests.stack.rest_api import Api, Someone
from tests.stack.stage import raw

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_PUBLIC = _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def socket_url(stack: Stack) -> Iterator[str]:
    port = free_port()
    gateway = stack.start("edge", "gateway", CHORUS_WS_PORT=str(port))
    asyncio.run(gateway.ready())
    yield f"ws://127.0.0.1:{port}/v1/ws"
    gateway.kill()
    gateway.process.wait()


def _part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Forger:
    """Knows a good token of somebody, and makes others of it. The signature is right unless `key` is another: what is
    refused then is refused for what was changed."""

    someone: Someone
    secret: bytes
    claims: dict[str, Any] = field(init=False)
    header: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        token = self.someone.signed_in["access_token"]
        self.claims = jwt.decode(token, options={"verify_signature": False})
        self.header = jwt.get_unverified_header(token)

    def make(self, *, key: bytes | None = None, hash: str = "sha256", header: Any = None, **claims: Any) -> str:
        signed = f"{_part(self.header | (header or {}))}.{_part(self.claims | claims)}"
        return f"{signed}.{_part(hmac.digest(self.secret if key is None else key, signed.encode(), hash))}"

    def forgeries(self) -> dict[str, str]:
        head, body, signature = self.someone.signed_in["access_token"].split(".")
        none, spelled = (_part({"alg": alg, "kid": self.header["kid"]}) for alg in ("none", "nOnE"))
        of_rsa = {"alg": "RS256", "kid": self.header["kid"]}
        return {
            "alg none": f"{none}.{body}.",
            "alg nOnE, with a signature": f"{spelled}.{body}.{signature}",
            "alg none, signed with our key": self.make(header={"alg": "none"}),
            "RS256, signed with our secret as if it were a key": self.make(header={"alg": "RS256"}),
            "RS256, truly": jwt.encode(self.claims, _KEY, "RS256", of_rsa),
            "HS256 with a public key": self.make(key=_PUBLIC),
            "HS512 with our secret": self.make(header={"alg": "HS512"}, hash="sha512"),
            "HS384 with our secret": self.make(header={"alg": "HS384"}, hash="sha384"),
            "an empty key": self.make(key=b""),
            "another audience": self.make(aud="another-api"),
            "another issuer": self.make(iss="https://accounts.google.com"),
            "an agent's token": self.make(typ="agent"),
            "a refresh token's claims": self.make(typ="refresh"),
            "the refresh token": self.someone.refresh_token,
            "another's name under an old signature": f"{head}.{_part(self.claims | {'sub': str(uuid4())})}.{signature}",
            "a later end under an old signature": f"{head}.{_part(self.claims | {'exp': 2**33})}.{signature}",
            "without its signature": f"{head}.{body}.",
            "kid of a file that is empty": self.make(key=b"", header={"kid": "../../../../dev/null"}),
            "kid that is SQL": self.make(key=b"x", header={"kid": "' UNION SELECT 'x' --"}),
            "kid with a NUL": self.make(header={"kid": "local\0"}),
            "kid that is very long": self.make(header={"kid": "k" * 2_500}),
            "kid that is longer than any token": self.make(header={"kid": "k" * 8_000}),
            "kid that is a list": self.make(header={"kid": [self.header["kid"]]}),
            "kid that is an object": self.make(header={"kid": {"$ne": ""}}),
            "kid that is nothing": self.make(header={"kid": None}),
            "critical header that we do not know": self.make(header={"crit": ["exp"], "exp": 0}),
            "key in the header": self.make(
                key=b"k" * 32, header={"jwk": {"kty": "oct", "k": _part(b"k" * 32)}, "kid": "mine"}
            ),
        }


@pytest.fixture
async def forger(api: Api, stack: Stack) -> Forger:
    return Forger(await api.sign_up(), stack.env["CHORUS_JWT_SECRET"].encode())


async def test_the_forger_makes_good_tokens(api: Api, forger: Forger) -> None:
    """Unchanged, what is made here is taken: what is refused below is refused for its change."""
    assert (await api.call("GET", "/v1/users/me", token=forger.make())).status == 200
    renamed = forger.make(jti=str(uuid4()))
    assert (await api.call("GET", "/v1/users/me", token=renamed)).json["id"] == forger.someone.id


async def test_rest_takes_none_of_them(api: Api, forger: Forger) -> None:
    """All get one answer, which does not say what was wrong; reading and writing alike."""
    answers = {}
    for name, token in forger.forgeries().items():
        answers[name] = await api.call("GET", "/v1/users/me", token=token)
        written = await api.call("POST", "/v1/projects", {"name": "Mine"}, token=token)
        assert written.status == 401, name
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 401)
    assert len({answer.text for answer in answers.values()}) == 1
    assert {answer.code for answer in answers.values()} == {"unauthenticated"}


async def test_no_socket_takes_any_of_them(socket_url: str, forger: Forger) -> None:
    """Neither in hello, nor in its subprotocol, nor in place of a good one: told, then closed with 4500."""

    async def in_hello(token: str) -> None:
        async with raw(socket_url) as socket:
            assert await socket.refused("hello", token=token) == "unauthenticated"
            assert await socket.closed() == 4500

    async def in_subprotocol(token: str) -> None:
        async with raw(socket_url, subprotocols=["chorus.v1", f"bearer.{token}"]) as socket:
            assert await socket.refused("hello") == "unauthenticated"
            assert await socket.closed() == 4500

    async def in_place(token: str) -> None:
        async with raw(socket_url, forger.someone.signed_in["access_token"]) as socket:
            assert await socket.refused("token.refresh", token=token) == "unauthenticated"
            assert await socket.closed() == 4500

    for name, token in forger.forgeries().items():
        try:
            await in_hello(token)
            if len(token) < 6_000:  # longer ones are no header
                await in_subprotocol(token)
            await in_place(token)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


@pytest.fixture
async def lure() -> AsyncIterator[tuple[str, list[str]]]:
    """An address that a token names, and what came to it."""
    came: list[str] = []

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append("somebody")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys.json", came
    server.close()


async def test_nobody_is_called_for_a_key(
    api: Api, socket_url: str, forger: Forger, lure: tuple[str, list[str]]
) -> None:
    """What a header says of where its key is found is not read: a good token stays good, a bad one bad, and no call is
    made."""
    url, came = lure
    for pointer in ({"jku": url}, {"x5u": url}, {"jku": url, "x5u": url, "x5c": ["AAAA"]}):
        good, bad = forger.make(header=pointer), forger.make(key=b"k" * 32, header=pointer | {"kid": "theirs"})
        assert (await api.call("GET", "/v1/users/me", token=good)).status == 200
        assert (await api.call("GET", "/v1/users/me", token=bad)).status == 401
        async with raw(socket_url) as socket:
            assert await socket.refused("hello", token=bad) == "unauthenticated"
    assert not came
