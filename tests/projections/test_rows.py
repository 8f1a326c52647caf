"""The fold over rows agrees with the fold that everybody shares, however the records are cut into batches."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import ids
from schemas.conversation import RunStatus
from schemas.opened import Opened, closed
from schemas.sealing import DataKey
from streams.projections.history import Rows
from tests.projections.talk import Talk


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 60), st.integers(1, 20))
def test_rows_say_what_the_fold_says(random: Random, records: int, batch: int) -> None:
    """Conversation and open runs, in the order in which they will run, are those of the fold; and every record applied
    a second time is known to be stored."""
    talk = Talk(random, DataKey.of(ids.new_id(), bytes(32)))
    made = [closed(record).record for record in talk.go_on(records)]
    rows = Rows({}, {})
    for start in range(0, records, batch):
        rows = Rows(rows.conversations, rows.runs)
        for record in made[start : start + batch]:
            assert not rows.has(record)
            assert rows.fold(Opened(record)) is None
            assert rows.has(record)

    view = rows.conversations[talk.conversation_id]
    waiting = sorted(
        (run for run in rows.runs.values() if run.ended_at is None),
        key=lambda run: (run.status == RunStatus.QUEUED, run.ordinal),
    )
    expected = talk.view
    assert expected is not None
    assert [run.id for run in waiting] == list(expected.runs)
    assert [(run.status, run.attempt, run.keep, run.requested_at) for run in waiting] == [
        (run.status, run.attempt, run.keep, run.requested_at) for run in expected.runs.values()
    ]
    # Titles were taken away with their keys, and runs are rows of their own.
    gone = {"runs": {}, "title": None, "title_by": None}
    assert replace(view, **gone) == replace(expected, **gone)
