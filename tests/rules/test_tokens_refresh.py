"""Refresh tokens: what it means that one is presented."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from edge.refresh_tokens import GRACE, LIFETIME, RefreshToken, Use, judge, successor_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
A_MOMENT_AGO = NOW - timedelta(seconds=1)
LONG_AGO = NOW - GRACE - timedelta(milliseconds=1)


def token(**changes: Any) -> RefreshToken:
    fresh: dict[str, Any] = {
        "id": uuid4(),
        "family": uuid4(),
        "expires_at": NOW + LIFETIME,
        "family_expires_at": NOW + LIFETIME,
        "used_at": None,
        "replaced_by": None,
        "revoked_at": None,
        "successor_used": False,
    }
    return RefreshToken(**fresh | changes)


@pytest.mark.parametrize(
    ("presented", "meaning"),
    [
        pytest.param(token(), Use.ROTATE, id="fresh"),
        pytest.param(token(expires_at=NOW), Use.VOID, id="expired"),
        pytest.param(token(revoked_at=A_MOMENT_AGO), Use.VOID, id="revoked"),
        pytest.param(token(used_at=A_MOMENT_AGO), Use.REPEAT, id="used a moment ago"),
        pytest.param(token(used_at=NOW - GRACE), Use.REPEAT, id="used as long ago as is forgiven"),
        pytest.param(token(used_at=LONG_AGO), Use.REUSE, id="used long ago"),
        pytest.param(token(used_at=A_MOMENT_AGO, successor_used=True), Use.REUSE, id="grandparent"),
        pytest.param(token(used_at=A_MOMENT_AGO, revoked_at=A_MOMENT_AGO), Use.VOID, id="used, then revoked"),
        pytest.param(token(used_at=LONG_AGO, expires_at=NOW), Use.VOID, id="used, then expired"),
    ],
)
def test_meaning(presented: RefreshToken, meaning: Use) -> None:
    """One use, forgiven for a few seconds, and only to the immediate predecessor of the newest."""
    assert judge(presented, NOW) == meaning


def test_the_successor_is_one() -> None:
    """All who present a token within its grace get the same successor; another secret, id or token gives another."""
    given, successor_id, secret = "predecessor", uuid4(), b"s" * 32
    successor = successor_of(given, successor_id, secret)

    assert successor == successor_of(given, successor_id, secret)
    assert len(successor) == 43  # 256 bits in base64
    others = {
        successor_of("another", successor_id, secret),
        successor_of(given, uuid4(), secret),
        successor_of(given, successor_id, b"o" * 32),
    }
    assert successor not in others
    assert len(others) == 3
