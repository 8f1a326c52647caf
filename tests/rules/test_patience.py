"""Waiting for what is away."""

import pytest
from structlog.testing import capture_logs

from infra.patience import patiently


class Dependency:
    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.asked = failures, error, 0

    async def ask(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error
        return "answer"


async def test_what_is_away_is_asked_again_until_it_answers() -> None:
    """The answer comes, however often it did not; and the log says so once when it begins and once when it ends."""
    dependency = Dependency(3, ConnectionError("refused"))

    with capture_logs() as logs:
        assert await patiently("Something", (OSError,), dependency.ask) == "answer"

    assert dependency.asked == 4
    assert [line["event"] for line in logs] == ["waiting for a dependency", "nobody waits any longer"]


async def test_a_bug_is_not_waited_for() -> None:
    """Any other error goes through at once."""
    dependency = Dependency(1, ValueError("bug"))

    with pytest.raises(ValueError, match="bug"):
        await patiently("Something", (OSError,), dependency.ask)

    assert dependency.asked == 1
