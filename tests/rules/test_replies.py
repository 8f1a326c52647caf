"""What replies does about a request, whatever was reported before, in whatever order it was noted."""

from hypothesis import given
from hypothesis import strategies as st

from streams.rules.replies import (
    MARGIN_MS,
    Call,
    Ended,
    EndUncalled,
    Join,
    Known,
    Memory,
    Repeat,
    Report,
    Started,
    decide,
    is_ours_alone,
    overtaken,
)

RUN = "a-run"

reports = st.lists(st.one_of(st.integers(1, 4).map(Started), st.integers(1, 4).map(Ended)), max_size=12)


def known(*said: Report) -> Known:
    """What a run is known by whose reports stand at offsets 0, 1, 2 …"""
    memory = Memory()
    for offset, report in enumerate(said):
        memory.note(RUN, offset, report, 0)
    return memory.known(RUN)


def test_a_new_run_is_called() -> None:
    """Nothing reported: the first attempt."""
    assert decide(known(), running=False, cancelled=False) == Call(1)


def test_a_begun_run_is_called_again() -> None:
    """An attempt that has no end died: the next one follows."""
    assert decide(known(Started(1)), running=False, cancelled=False) == Call(2)


def test_a_running_run_is_joined() -> None:
    """What is being called here is never called beside it, not even when it was cancelled."""
    assert decide(known(Started(1)), running=True, cancelled=True) == Join()


def test_an_ended_run_is_told_again() -> None:
    """The report that counts is repeated, and a late cancel changes nothing."""
    assert decide(known(Started(1), Ended(1)), running=False, cancelled=True) == Repeat(1)


def test_a_cancelled_run_ends_uncalled() -> None:
    """A cancel that came before the call."""
    assert decide(known(), running=False, cancelled=True) == EndUncalled(1)
    assert decide(known(Started(1)), running=False, cancelled=True) == EndUncalled(2)


def test_the_end_of_an_overtaken_attempt_is_none() -> None:
    """The conversation ignores an end below the highest attempt begun before it; so must we, or nothing ends it."""
    assert decide(known(Started(1), Started(2), Ended(1)), running=False, cancelled=False) == Call(3)


def test_an_end_stands_though_another_attempt_began_after_it() -> None:
    """The end came first; the later attempt is in vain."""
    said = known(Started(1), Ended(1), Started(2), Ended(2))

    assert decide(said, running=False, cancelled=False) == Repeat(1)
    assert overtaken(2, said)


def test_an_attempt_is_overtaken_by_a_later_one() -> None:
    """Whoever runs an older attempt may stop."""
    assert overtaken(1, known(Started(1), Started(2)))
    assert not overtaken(2, known(Started(1), Started(2)))
    assert not overtaken(1, known())


def test_a_beginning_that_is_not_alone_is_in_vain() -> None:
    """Somebody else's beginning of the same attempt, or any end, means that this one must not call."""
    assert is_ours_alone(2, 1, known(Started(1), Started(2)))
    assert not is_ours_alone(1, 0, known(Started(1), Started(1)))
    assert not is_ours_alone(1, 1, known(Started(1), Started(1)))
    assert not is_ours_alone(1, 0, known(Started(1), Ended(1)))
    assert not is_ours_alone(1, 0, known(Started(1), Started(2)))


def accepted(said: list[Report]) -> int | None:
    """The end that the conversation takes: its own rule, told anew."""
    attempt = 0
    for offset, report in enumerate(said):
        if isinstance(report, Ended) and report.attempt >= attempt:
            return offset
        if isinstance(report, Started):
            attempt = max(attempt, report.attempt)
    return None


@given(reports)
def test_what_is_repeated_is_what_the_conversation_took(said: list[Report]) -> None:
    """Replies and the conversation read the same log alike: never a call after an accepted end, never none without."""
    decision = decide(known(*said), running=False, cancelled=False)

    if (end := accepted(said)) is not None:
        assert decision == Repeat(end)
    else:
        assert decision == Call(max((report.attempt for report in said), default=0) + 1)


@given(reports, st.randoms(use_true_random=False))
def test_the_order_of_noting_does_not_matter(said: list[Report], random: object) -> None:
    """A report is known by its offset: noted twice, or late, it means the same."""
    noted = [*enumerate(said), *enumerate(said)]
    random.shuffle(noted)  # type: ignore[attr-defined]
    memory = Memory()
    for offset, report in noted:
        memory.note(RUN, offset, report, 0)

    for cancelled in (False, True):
        assert decide(memory.known(RUN), running=False, cancelled=cancelled) == decide(
            known(*said), running=False, cancelled=cancelled
        )


def test_nothing_is_covered_before_it_was_read() -> None:
    """A memory that was not read from the log knows that it knows nothing."""
    assert not Memory().covers(RUN, 10**15)


def test_a_memory_covers_what_was_requested_well_after_its_horizon() -> None:
    """Clocks differ: a run may be reported a margin before it was requested."""
    memory = Memory()
    memory.was_read(1_000_000, 0, 0, memory.doubts)

    assert memory.covers(RUN, 1_000_000 + MARGIN_MS)
    assert not memory.covers(RUN, 1_000_000 + MARGIN_MS - 1)


def test_an_end_is_covered_when_all_before_it_was_read() -> None:
    """Who was replaced unawares may have begun an attempt that its successor has not heard of, before the end."""
    memory = Memory()
    memory.was_read(0, 0, 5, memory.doubts)
    memory.note(RUN, 4, Started(1), 0)
    assert memory.covers(RUN, MARGIN_MS)

    memory.note(RUN, 6, Ended(1), 0)
    assert not memory.covers(RUN, MARGIN_MS)

    memory.was_read(0, 0, 7, memory.doubts)
    assert memory.covers(RUN, MARGIN_MS)


def test_a_reading_in_which_a_memory_was_doubted_says_nothing() -> None:
    """It says what the log was before."""
    memory = Memory()
    doubts = memory.doubts
    memory.doubt()
    memory.was_read(0, 0, 5, doubts)

    assert not memory.covers(RUN, MARGIN_MS)


def test_what_stands_between_two_readings_is_not_covered() -> None:
    """The second begins behind the first's end: what others wrote between is not known."""
    memory = Memory()
    memory.was_read(0, 0, 5, memory.doubts)
    memory.was_read(1_000_000, 9, 12, memory.doubts)

    assert not memory.covers(RUN, MARGIN_MS)
    assert memory.covers(RUN, 1_000_000 + MARGIN_MS)


def test_forgetting_takes_no_doubt_away() -> None:
    """What is doubted must be read, however much of it is let go."""
    memory = Memory()
    memory.note(RUN, 0, Started(1), 0)
    memory.doubt()
    memory.forget(1)

    assert not memory.covers(RUN, 10**15)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), min_size=1, max_size=30),
    st.integers(0, 30),
    st.integers(0, 2 * 10**6),
)
def test_what_was_forgotten_is_not_covered(noted: list[tuple[int, bool]], count: int, requested_ms: int) -> None:
    """A memory never says that it covers a run whose reports it has let go."""
    memory = Memory()
    memory.was_read(-MARGIN_MS, 0, 0, memory.doubts)
    for n, (at_ms, cancel) in enumerate(noted):
        if cancel:
            memory.note_cancel(f"run-{n}", at_ms)
        else:
            memory.note(f"run-{n}", n, Started(1), at_ms)
    memory.forget(count)

    for n, (at_ms, cancel) in enumerate(noted):
        kept = memory.is_cancelled(f"run-{n}") if cancel else memory.known(f"run-{n}").attempts == 1
        # A run is reported at its request's time or later, or, with clocks that differ, a margin before it.
        if requested_ms <= at_ms + MARGIN_MS and memory.covers(f"run-{n}", requested_ms):
            assert kept
