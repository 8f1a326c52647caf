"""A replay rebuilds what is shown and does nothing again: it can neither reach an effect nor begin one."""

import subprocess
import sys

import pytest

from tests.running import CHORUS, ROOT, own_settings

EFFECTS = {
    "publishing": """
from infra.kafka import Publisher
from infra.settings import KafkaSettings
Publisher(KafkaSettings(), "/test")
""",
    "calling an agent": """
from agents.openai_http import http_session
http_session()
""",
    "telling people": """
from streams.teller import Teller
Teller(None, None)
""",
    "calling webhooks": """
from streams.deliverer import Deliverer
Deliverer(None, None, None)
""",
    "mailing people": """
from streams.mailer import Mailer
Mailer(None, None, "")
""",
    "telling deltas": """
from infra.deltas import Deltas
Deltas(None)
""",
}


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=own_settings(), capture_output=True, text=True, check=False
    )


def test_nothing_that_has_an_effect_is_loaded() -> None:
    """The process of a replay has no agent, no HTTP client, no processor and no channel in it."""
    ended = python("import streams.replay.command, sys; print(*sys.modules)")

    loaded = set(ended.stdout.split())
    assert "streams.replay.history" in loaded
    for name in ("agents", "aiohttp", "faust", "streams.workers", "streams.intake", "streams.projections.live"):
        assert name not in loaded, name


@pytest.mark.parametrize("what", EFFECTS)
def test_an_effect_cannot_begin(what: str) -> None:
    """Even where it is loaded: whoever begins one in a replay gets an error that says so."""
    ended = python(f"from infra import effects\neffects.forbid('a replay')\n{EFFECTS[what]}")

    assert ended.returncode == 1
    assert f"EffectForbidden: {what} in a replay" in ended.stderr


@pytest.mark.parametrize(("asked", "why"), [("billing", "moves money"), ("replies", "agents"), ("x", "no such")])
def test_what_cannot_be_replayed_is_said_with_what_can(asked: str, why: str) -> None:
    """Exit code 2, the reason, and the catalogue."""
    ended = subprocess.run(
        [*CHORUS, "replay", asked], cwd=ROOT, env=own_settings(), capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert why in ended.stderr
    assert all(name in ended.stderr for name in ("history", "live"))
    assert "Traceback" not in ended.stderr
