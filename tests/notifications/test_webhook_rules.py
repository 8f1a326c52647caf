"""Signatures, and what follows from an attempt to deliver."""

from base64 import b64decode

import pytest

from schemas.webhooks import headers, new_secret
from streams.rules.webhooks import GIVEN_UP_S, RETRIES_S, SPREAD, judge


def test_the_signature_is_the_specifications() -> None:
    """The example that the specification's own libraries are tested with."""
    made = headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )

    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_give_two_signatures() -> None:
    """Each is the one that this secret alone would give; the newer stands first."""
    old, new = new_secret(), new_secret()
    alone = [headers([s], "id", 1, b"{}")["webhook-signature"] for s in (new, old)]

    assert headers([new, old], "id", 1, b"{}")["webhook-signature"] == " ".join(alone)
    assert alone[0] != alone[1]


def test_a_secret_is_as_receivers_take_it() -> None:
    """Prefix, base64, and as long as the specification wants it."""
    secret = new_secret()

    assert secret.startswith("whsec_")
    assert 24 <= len(b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64


@pytest.mark.parametrize("answer", [200, 201, 204, 299])
def test_what_is_taken_is_done_with(answer: int) -> None:
    """However many attempts it took, and however long the webhook had failed."""
    assert judge(10, answer, 2 * GIVEN_UP_S, 0.5).status == "delivered"
    assert judge(1, answer, 0, 0.5).disable is None


@pytest.mark.parametrize("answer", [None, 301, 302, 400, 404, 429, 500, 503])
def test_what_is_not_taken_is_tried_again_over_days(answer: int | None) -> None:
    """Ten attempts, more and more apart; then it is given up, and the webhook goes on."""
    pauses = []
    for attempt in range(1, 10):
        verdict = judge(attempt, answer, 60.0, 0.5)
        assert verdict.status == "waiting"
        assert verdict.disable is None
        assert verdict.again_s is not None
        pauses.append(verdict.again_s)
    last = judge(10, answer, 60.0, 0.5)

    assert pauses == list(RETRIES_S)
    assert 3 * 86_400 < sum(pauses) < 4 * 86_400
    assert (last.status, last.again_s, last.disable) == ("failed", None, None)


def test_what_failed_together_does_not_come_back_together() -> None:
    """Each pause is drawn from around its length."""
    pauses = [judge(2, 500, 0, luck).again_s for luck in (0.0, 0.5, 1.0)]

    assert pauses == [RETRIES_S[1] * (1 - SPREAD), RETRIES_S[1], RETRIES_S[1] * (1 + SPREAD)]


def test_gone_means_never_again() -> None:
    """410 switches the webhook off at once."""
    verdict = judge(1, 410, 0, 0.5)

    assert (verdict.status, verdict.again_s) == ("failed", None)
    assert verdict.disable is not None
    assert "410" in verdict.disable


def test_days_without_success_switch_it_off() -> None:
    """At the first failure after them."""
    assert judge(1, 500, GIVEN_UP_S - 1, 0.5).disable is None
    verdict = judge(1, 500, GIVEN_UP_S, 0.5)
    assert (verdict.status, verdict.again_s) == ("failed", None)
    assert verdict.disable is not None
