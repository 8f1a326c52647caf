"""What a feed tells, and one connection's place in it. Pure.

Whoever is in step with the feed is told its frames as they are. Whoever is not (it reads slowly, or joined in the
middle of something) is told the same text, cut at another place.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from infra.deltas import DeltaMessage
from schemas import frames


class RunText:
    """The text of one attempt as far as it is known here, in the pieces in which it came.

    Attributes:
        waiting: deltas that came while something before them was missing; None while nothing is.
    """

    __slots__ = ("_ends", "_pieces", "attempt", "conversation_id", "run_id", "waiting")

    def __init__(self, conversation_id: str, run_id: str, attempt: int) -> None:
        self.conversation_id = conversation_id
        self.run_id = run_id
        self.attempt = attempt
        self.waiting: list[DeltaMessage] | None = None
        self._ends: list[int] = []
        self._pieces: list[str] = []

    @property
    def seq(self) -> int:
        """The number of the last delta known."""
        return self._ends[-1] if self._ends else 0

    def append(self, seq: int, text: str) -> None:
        """Add deltas `self.seq + 1` … `seq`."""
        self._ends.append(seq)
        self._pieces.append(text)

    def after(self, seq: int) -> str | None:
        """The text after delta `seq`; None where the pieces do not end there."""
        if seq == 0:
            return "".join(self._pieces)
        at = bisect_left(self._ends, seq)
        if at == len(self._ends) or self._ends[at] != seq:
            return "" if seq >= self.seq else None
        return "".join(self._pieces[at + 1 :])

    def frames_after(self, seq: int) -> list[bytes]:
        """What brings someone who has deltas 1 … `seq` up to date."""
        if seq >= self.seq:
            return []
        text = self.after(seq)
        if text is not None:
            return [delta_frame(self, seq + 1, text)]
        again = frames.RunRestarted(run_id=self.run_id, conversation_id=self.conversation_id, attempt=self.attempt)
        return [msgspec.json.encode(again), delta_frame(self, 1, self.after(0) or "")]


def delta_frame(text: RunText, from_seq: int, new: str) -> bytes:
    return msgspec.json.encode(
        frames.RunDelta(
            run_id=text.run_id,
            conversation_id=text.conversation_id,
            attempt=text.attempt,
            from_seq=from_seq,
            seq=text.seq,
            text=new,
        )
    )


# -- what a feed tells --


@dataclass(frozen=True, slots=True)
class Told:
    """A frame for every follower, for one person's, or for all but one person's."""

    data: bytes
    only: str | None = None
    but: str | None = None


@dataclass(frozen=True, slots=True)
class Grew:
    """Deltas `from_seq` … `seq` of a run; `data` is their frame."""

    text: RunText
    from_seq: int
    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Began:
    """An attempt began; what came of the one before is to be forgotten."""

    run_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """A run says no more: whoever is behind is brought up to date before anything else is told."""

    text: RunText


Telling = Told | Grew | Began | Settled


class Follower:
    """One connection's place in a feed.

    Attributes:
        owner: the connection, of no interest here.
        joining: what is told after the place where it joins, kept until its `subscribe` is answered; None from then on.
    """

    __slots__ = ("_at", "joining", "owner", "user_id")

    def __init__(self, user_id: str, owner: Any = None) -> None:
        self.user_id = user_id
        self.owner = owner
        self.joining: list[Telling] | None = []
        # The last delta that this follower has, of runs in which it is not in step with the feed.
        self._at: dict[str, int] | None = None

    def place(self, run_id: str, seq: int) -> None:
        """This follower has deltas 1 … `seq` of the run's present attempt."""
        if self._at is None:
            self._at = {}
        self._at[run_id] = seq

    def take(self, telling: Telling, slow: bool) -> list[bytes]:
        """The frames to write now. While the connection is `slow`, deltas are left for later, gathered."""
        match telling:
            case Grew():
                return self._grew(telling, slow)
            case Told():
                mine = telling.only in (None, self.user_id) and telling.but != self.user_id
                return [telling.data] if mine else []
            case Began():
                if self._at is not None:
                    self._at.pop(telling.run_id, None)
                return [telling.data]
            case Settled():
                have = None if self._at is None else self._at.pop(telling.text.run_id, None)
                return [] if have is None else telling.text.frames_after(have)

    def _grew(self, grew: Grew, slow: bool) -> list[bytes]:
        run_id = grew.text.run_id
        have = None if self._at is None else self._at.get(run_id)
        if have is None:
            if not slow:
                return [grew.data]
            self.place(run_id, grew.from_seq - 1)
            return []
        if grew.seq <= have or slow:
            return []
        if have == grew.from_seq - 1:
            self._in_step(run_id)
            return [grew.data]
        behind = grew.text.frames_after(have)
        self.place(run_id, grew.text.seq)
        return behind

    def _in_step(self, run_id: str) -> None:
        if self._at is not None:
            del self._at[run_id]

    def gathered(self, texts: Mapping[str, RunText]) -> list[bytes]:
        """What was left for later, now that the connection is not slow any more."""
        gathered: list[bytes] = []
        for run_id, have in list((self._at or {}).items()):
            if (text := texts.get(run_id)) is not None and have <= text.seq:
                gathered += text.frames_after(have)
                self._in_step(run_id)
        return gathered
