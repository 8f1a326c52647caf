"""What follows from an attempt to deliver a webhook."""

from typing import Final, Literal

from msgspec import Struct

RETRIES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds from each failed attempt to the next, as Standard Webhooks proposes: ten attempts in three days, so that
somebody can come back from a weekend and mend it."""
SPREAD: Final = 0.2
"""By how much of itself each of them is longer or shorter: what failed together does not come back together."""
GIVEN_UP_S: Final = 5 * 86_400
"""Seconds without any success after which a webhook is switched off at its next failure."""
GONE: Final = 410
"""HTTP's word for "never again"."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What becomes of a delivery, and of its webhook.

    Attributes:
        again_s: seconds to the next attempt; None where there is none.
        disable: why the webhook is switched off; None where it is not.
    """

    status: Literal["waiting", "delivered", "failed"]
    again_s: float | None = None
    disable: str | None = None


def judge(attempts: int, answer: int | None, failing_s: float, luck: float) -> Verdict:
    """Judge the attempt just made.

    Args:
        attempts: how many were made, this one included.
        answer: the HTTP status; None where there was no answer.
        failing_s: seconds since the webhook's first failure after its last success; 0 where this is the first.
        luck: 0 … 1, drawn for each attempt.
    """
    if answer is not None and 200 <= answer < 300:
        return Verdict(status="delivered")
    if answer == GONE:
        return Verdict(status="failed", disable="the receiver answered 410: it wants no more")
    if failing_s >= GIVEN_UP_S:
        return Verdict(status="failed", disable=f"nothing was delivered for {GIVEN_UP_S // 86_400} days")
    if attempts > len(RETRIES_S):
        return Verdict(status="failed")
    return Verdict(status="waiting", again_s=RETRIES_S[attempts - 1] * (1 + SPREAD * (2 * luck - 1)))
