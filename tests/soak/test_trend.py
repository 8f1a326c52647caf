"""What is called growth is growth, and what is called steady may be noise."""

from random import Random

from tests.soak.trend import trend

SECONDS = [5.0 * n for n in range(120)]
"""Ten minutes."""


def test_a_leak_is_seen_through_noise() -> None:
    """60 MiB an hour under a noise of 1 MiB grows for certain, and is measured to a fifth."""
    noise = Random(1)
    found = trend(SECONDS, [80 + 60 * at / 3600 + noise.gauss(0, 1) for at in SECONDS])

    assert found is not None
    assert found.rises(allowed=4, floor=3)
    assert abs(found.slope - 60) < 12


def test_noise_is_no_leak() -> None:
    """Of a hundred steady processes none is accused, however restless it is."""
    accused = [
        seed
        for seed in range(100)
        if (noise := Random(seed))
        and (found := trend(SECONDS, [80 + noise.gauss(0, 3) for _ in SECONDS])) is not None
        and found.rises(allowed=4, floor=3)
    ]

    assert [] == accused


def test_the_warm_up_is_no_leak() -> None:
    """What fills in the first third and stays full is not counted."""
    found = trend(SECONDS, [min(80.0, 20 + at) for at in SECONDS])

    assert found is not None
    assert (80.0, 80.0, 0.0) == (found.start, found.end, found.slope)


def test_a_short_run_is_not_judged() -> None:
    """Too few samples give no line rather than a wrong one."""
    assert trend(SECONDS[:10], [80.0] * 10) is None
    assert trend([], []) is None
