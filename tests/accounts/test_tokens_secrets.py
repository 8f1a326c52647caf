"""Secrets that can be guessed: outside development nothing starts with one."""

import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.rest.settings import RestSettings
from edge.tokens import TokenSettings
from infra.settings import SAMPLES, BadSetting, SealingSettings
from infra.stack.ports import free_port
from tests.running import Stack

GOOD = "mR7yJw0Xq2TzH5sVbN8cK1fPdG4uLaEo"
DEVELOPMENT = {"CHORUS_DEVELOPMENT": "1"}

WEAK = {
    "a character held down": "x" * 64,
    "two characters": "ab" * 32,
    "a word again and again": "correct-horse-battery-staple/1234" * 2,
    "a short word again and again": "changeme" * 8,
    "a row of keys": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
    "a row of keys, backwards": "zyxwvutsrqponmlkjihgfedcba987654",
    "spaces": " " * 40,
    **{f"sample {n}": sample.decode() for n, sample in enumerate(SAMPLES)},
}


@pytest.mark.parametrize("secret", WEAK.values(), ids=WEAK.keys())
@pytest.mark.parametrize("name", ["CHORUS_JWT_SECRET", "CHORUS_JWT_PREVIOUS_SECRET"])
def test_a_weak_signing_secret(name: str, secret: str) -> None:
    """It is refused with one sentence that says which and how to make one, and not what it was; in development it is
    taken."""
    env = {"CHORUS_JWT_SECRET": GOOD, "CHORUS_JWT_PREVIOUS_KID": "0", "CHORUS_JWT_PREVIOUS_SECRET": GOOD[::-1]}
    TokenSettings.from_env(env)
    with pytest.raises(BadSetting, match=f"^{name} .*openssl rand -base64 48") as refused:
        TokenSettings.from_env(env | {name: secret})
    assert secret not in str(refused.value)
    TokenSettings.from_env(env | {name: secret} | DEVELOPMENT)
    with pytest.raises(BadSetting, match="CHORUS_DEVELOPMENT"):
        TokenSettings.from_env(env | {name: secret, "CHORUS_DEVELOPMENT": "yes"})


@pytest.mark.parametrize("key", [bytes(32), bytes(range(32)), b"k" * 32, b"0123456789abcdef" * 2, SAMPLES[1]])
def test_a_weak_master_key(key: bytes) -> None:
    """So is the key that wraps all others."""
    env = {"CHORUS_MASTER_KEY": b64encode(key).decode()}
    with pytest.raises(BadSetting, match=r"^CHORUS_MASTER_KEY .*openssl rand -base64 32"):
        SealingSettings.from_env(env)
    assert SealingSettings.from_env(env | DEVELOPMENT).master_key == key


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_urlsafe(48),
        lambda: secrets.token_hex(16),
        lambda: b64encode(secrets.token_bytes(32)).decode(),
    ],
    ids=["as our own", "hexadecimal", "base64"],
)
def test_a_drawn_secret_is_taken(make: Callable[[], str]) -> None:
    """However it is written, nobody who did as they were told is refused."""
    for _ in range(2_000):
        TokenSettings.from_env({"CHORUS_JWT_SECRET": make()})
        SealingSettings.from_env({"CHORUS_MASTER_KEY": b64encode(secrets.token_bytes(32)).decode()})


def test_every_sample_is_known(repository: Path) -> None:
    """Whatever stands in place of a secret in what we publish is refused."""
    published = [repository / "compose.yaml", repository / "README.md", *(repository / "docs").rglob("*.md")]
    found = [
        secret
        for path in published
        for _name, secret in re.findall(
            r"(CHORUS_(?:MASTER_KEY|JWT(?:_PREVIOUS)?_SECRET))(?::-|: *|=)([^\s$}`'\"|][^}`'\"\n|]{15,})",
            path.read_text(),
        )
    ]
    assert len(found) >= 2, "the samples of compose.yaml are not found"
    for secret in found:
        assert secret.encode() in SAMPLES or b64decode(secret) in SAMPLES, secret


def test_development_is_on_one_machine() -> None:
    """Who is in development and reached from elsewhere is not in development."""
    RestSettings.from_env(DEVELOPMENT | {"CHORUS_PUBLIC_URL": "http://localhost:8080"})
    with pytest.raises(BadSetting, match="CHORUS_DEVELOPMENT"):
        RestSettings.from_env(DEVELOPMENT | {"CHORUS_PUBLIC_URL": "https://chorus.example.org"})


@pytest.mark.parametrize(("package", "role"), [("edge", "gateway"), ("streams", "live")])
@pytest.mark.parametrize("name", ["CHORUS_JWT_SECRET", "CHORUS_MASTER_KEY"])
async def test_a_process_does_not_start(stack: Stack, package: str, role: str, name: str) -> None:
    """With a sample it ends at once, and says why in one sentence; a process starts with what it does not use."""
    sample = {"CHORUS_JWT_SECRET": SAMPLES[0].decode(), "CHORUS_MASTER_KEY": b64encode(SAMPLES[1]).decode()}
    running = stack.start(package, role, **{name: sample[name], "CHORUS_WS_PORT": str(free_port())})
    if (role, name) == ("live", "CHORUS_JWT_SECRET"):
        await running.ready()
        await running.stop()
        return
    assert await running.ended() == 1
    said = running.output.read_text()
    assert f"{name} is the sample of compose.yaml" in said
    assert "Traceback" not in said
