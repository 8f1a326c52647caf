"""Following a conversation: from what comes in any order, doubled or not at all, to each frame once and in order. Pure.

A `Feed` is one conversation as this process follows it, shared by all its followers here. Records are told strictly by
position, and a run's text strictly by number; where something is missing the feed asks for it (`Need…`), holds what
comes after, and goes on when it is there. A `Follower` is one connection's place in the feed: it joins at a position,
and is told everything after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from edge import pushes
from edge.followers import Began, Follower, Grew, RunText, Settled, Telling, Told, delta_frame
from infra.deltas import DeltaMessage
from infra.live import LiveRecord
from schemas import events, frames, shown
from schemas.conversation import ConversationView, RunView, apply

_MOST_EARLY: Final = 64
"""Runs that are remembered to have spoken before their record came. Of more, the next delta tells."""
_MOST_HELD: Final = 1_000
"""Records that wait for what is missing before them. Further ones are found again in the window."""


@dataclass(frozen=True, slots=True)
class NeedRecords:
    """Records after this position, or where the feed is by then, are missing; answer with `caught_up`."""

    after: int


@dataclass(frozen=True, slots=True)
class NeedDeltas:
    """Deltas after this one are missing; answer with `deltas_read`."""

    run_id: str
    attempt: int
    after_seq: int


Need = NeedRecords | NeedDeltas


class Feed:
    """One conversation as this process follows it, from `view` on.

    Attributes:
        view: the conversation at the position up to which everything was told.
        texts: the texts of the open runs that have begun, by run.
        followers: who is told.
    """

    __slots__ = (
        "_blocked", "_catching_up", "_early", "_held", "_looked", "_out", "_ready", "epoch", "followers", "texts",
        "view",
    )  # fmt: skip

    def __init__(self, epoch: str, view: ConversationView) -> None:
        self.epoch = epoch
        self.view = view
        self.texts: dict[str, RunText] = {}
        self.followers: set[Follower] = set()
        self._ready: list[LiveRecord | ConversationView] = []
        self._held: dict[int, LiveRecord] = {}
        self._catching_up = False
        # The attempt whose end cannot be told before its text was looked for.
        self._blocked: tuple[str, int] | None = None
        self._looked: set[str] = set()
        # Attempts that spoke before their run's record came.
        self._early: dict[str, int] = {}
        self._out: list[Telling | Need] = []

    @property
    def position(self) -> int:
        return self.view.position

    # -- what comes in; each answers what is to be told and what is needed, in this order --

    def opened(self) -> list[Telling | Need]:
        """Ask for the texts of the runs that had begun before."""
        for run in self.view.runs.values():
            if run.attempt:
                text = self.texts[run.run_id] = RunText(self.view.conversation_id, run.run_id, run.attempt)
                self._need_deltas(text)
        return self._said()

    def record(self, live: LiveRecord) -> list[Telling | Need]:
        """A record was told on the channel."""
        if live.record.position > self.position and live.epoch == self.epoch and len(self._held) < _MOST_HELD:
            self._held.setdefault(live.record.position, live)
            self._go_on()
        return self._said()

    def top(self, position: int) -> list[Telling | Need]:
        """Somebody knows of this position."""
        if position > self.position and not self._catching_up and not self._blocked:
            self._need_records()
        return self._said()

    def caught_up(self, after: int, found: Sequence[LiveRecord | ConversationView]) -> list[Telling | Need]:
        """What was found of the missing records after a position, oldest first.

        A view among them says that everything up to it was found: records made of PostgreSQL's rows leave out the
        positions that have nothing to tell. Where nothing was found it is asked for again when the next record, or
        the next look at the top, says that it is missing.
        """
        self._catching_up = False
        if found and after != self.position:
            # Made of rows, the first of them says what had begun by the end of all of them. Where the channel has
            # brought that position meanwhile it would go unsaid, so they are made anew from where this is now.
            self._need_records()
        elif found:
            # A record of the channel that waits for a text steps back: made of rows, the one of its position says more.
            self._held |= {r.record.position: r for r in self._ready if isinstance(r, LiveRecord)}
            self._ready = list(found)
            self._go_on()
        return self._said()

    def recheck_texts(self) -> list[Telling | Need]:
        """The channel was not heard for a while: look for what the running answers have said."""
        for text in self.texts.values():
            self._need_deltas(text)
        return self._said()

    def delta(self, delta: DeltaMessage) -> list[Telling | Need]:
        """Deltas were told on the channel."""
        self._take(delta)
        return self._said()

    def deltas_read(self, need: NeedDeltas, texts: Sequence[str]) -> list[Telling | Need]:
        """The deltas that were asked for, as far as there are any."""
        text = self.texts.get(need.run_id)
        if text is not None and text.attempt == need.attempt:
            waiting, text.waiting = text.waiting or [], None
            if texts and text.seq == need.after_seq:
                self._grow(text, text.seq + len(texts), "".join(texts))
            for delta in waiting:
                # What still does not follow was lost with Redis; the next delta, or the end, asks again.
                if delta.from_seq == text.seq + 1:
                    self._take(delta)
        if self._blocked == (need.run_id, need.attempt):
            self._blocked = None
            self._go_on()
        return self._said()

    def _said(self) -> list[Telling | Need]:
        out, self._out = self._out, []
        return out

    # -- records --

    def _go_on(self) -> None:
        while self._blocked is None:
            if not self._ready:
                following = self._held.pop(self.position + 1, None)
                if following is None:
                    break
                self._ready.append(following)
            head = self._ready[0]
            if isinstance(head, ConversationView):
                self._arrive(head)
            elif head.record.position > self.position and not self._advance(head):
                return
            self._ready.pop(0)
        if self._blocked is None and self._held:
            self._held = {p: live for p, live in self._held.items() if p > self.position}
            if self._held and not self._catching_up:
                self._need_records()

    def _need_records(self) -> None:
        self._catching_up = True
        self._out.append(NeedRecords(self.position))

    def _advance(self, live: LiveRecord) -> bool:
        """Tell one record; False where a text that ends in it is not whole yet."""
        for fact in live.record.facts:
            if isinstance(fact, events.RunEnded) and self._is_short(fact) and fact.run_id not in self._looked:
                self._look_for_the_rest(fact)
                return False
        before = replace(self.view, position=live.record.position - 1)
        after = apply(before, live.record)
        self._settle(live.record)
        conversation = live.conversation or shown.conversation(after)
        for fact in live.record.facts:
            if isinstance(fact, events.RunStarted):
                self._begin(fact.run_id, fact.attempt, after.runs.get(fact.run_id))
            elif (push := pushes.push_of(fact, live, conversation)) is not None:
                only = fact.user_id if isinstance(fact, events.MessageRejected) else None
                self._out.append(Told(msgspec.json.encode(push), only))
            if isinstance(fact, events.RunEnded):
                self.texts.pop(fact.run_id, None)
                self._looked.discard(fact.run_id)
                self._early.pop(fact.run_id, None)
        self.view = after
        self._hear_early(after.runs)
        return True

    def _hear_early(self, runs: Mapping[str, RunView]) -> None:
        # Redis has what these runs said before their record came.
        for run_id in self._early.keys() & runs:
            self._begin(run_id, self._early.pop(run_id), self.view.runs[run_id])
            self._need_deltas(self.texts[run_id])

    def _arrive(self, view: ConversationView) -> None:
        """The conversation is at `view`, and how it came there is told as far as it is known."""
        before = self.view
        if view.position < before.position:
            return
        for run in view.runs.values():
            if run.run_id not in before.runs:
                self._out.append(Told(msgspec.json.encode(_queued(view.conversation_id, run))))
            if run.attempt:
                self._begin(run.run_id, run.attempt, run)
                if not self.texts[run.run_id].seq:
                    self._need_deltas(self.texts[run.run_id])
        if _in_the_list(view) != _in_the_list(before):
            self._out.append(Told(msgspec.json.encode(pushes.at_once(view, self.epoch))))
        self.view = view
        self.texts = {run_id: text for run_id, text in self.texts.items() if run_id in view.runs}
        self._hear_early(view.runs)

    # -- texts --

    def _begin(self, run_id: str, attempt: int, run: RunView | None) -> None:
        """An attempt began. Nothing happens where its first delta has said so, or a later one has begun."""
        text = self.texts.get(run_id)
        if run is not None and (text is None or text.attempt < attempt):
            self._start(run_id, attempt, run)

    def _start(self, run_id: str, attempt: int, run: RunView | None = None) -> RunText:
        """Make this attempt the one whose text counts, and tell it."""
        known = self.view.runs.get(run_id)
        push: frames.Push = frames.RunRestarted(
            run_id=run_id, conversation_id=self.view.conversation_id, attempt=attempt
        )
        first = run_id not in self.texts and (known is None or known.attempt == 0)
        run = run or known
        if first and run is not None:
            push = frames.RunStartedPush(
                run_id=run_id,
                conversation_id=self.view.conversation_id,
                message_id=run.message_id,
                agent_id=run.agent.agent_id,
                attempt=attempt,
                question_id=run.question_id,
            )
        self._out.append(Began(run_id, msgspec.json.encode(push)))
        text = self.texts[run_id] = RunText(self.view.conversation_id, run_id, attempt)
        return text

    def _need_deltas(self, text: RunText) -> None:
        if text.waiting is None:
            text.waiting = []
            self._out.append(NeedDeltas(text.run_id, text.attempt, text.seq))

    def _take(self, delta: DeltaMessage) -> None:
        run = self.view.runs.get(delta.run_id)
        if run is None:
            if delta.run_id in self._early or len(self._early) < _MOST_EARLY:
                self._early[delta.run_id] = delta.attempt
            return
        self._begin(delta.run_id, delta.attempt, run)
        text = self.texts[delta.run_id]
        if delta.attempt != text.attempt or delta.seq <= text.seq:
            return
        if text.waiting is not None:
            text.waiting.append(delta)
        elif delta.from_seq == text.seq + 1:
            self._grow(text, delta.seq, delta.text)
        else:
            self._need_deltas(text)
            text.waiting = [delta]

    def _look_for_the_rest(self, ended: events.RunEnded) -> None:
        self._blocked = (ended.run_id, ended.attempt)
        text = self.texts.get(ended.run_id)
        if text is None or text.attempt != ended.attempt:
            text = self._start(ended.run_id, ended.attempt)
        if text.waiting is None:
            self._looked.add(ended.run_id)
            self._need_deltas(text)
        # Else somebody is looking already, perhaps not far enough: then this is tried once more.

    def _grow(self, text: RunText, seq: int, new: str) -> None:
        from_seq = text.seq + 1
        text.append(seq, new)
        self._out.append(Grew(text, from_seq, seq, delta_frame(text, from_seq, new)))

    def _is_short(self, ended: events.RunEnded) -> bool:
        if not ended.attempt or not ended.last_seq:
            return False
        text = self.texts.get(ended.run_id)
        return text is None or text.attempt != ended.attempt or text.seq < ended.last_seq

    def _settle(self, record: events.ConversationAdvanced) -> None:
        """Make the texts that end in this record whole, so that the joined deltas are the message's content."""
        said = {f.run_id: f.content for f in record.facts if isinstance(f, events.MessagePosted) and f.run_id}
        for fact in record.facts:
            if not isinstance(fact, events.RunEnded) or not fact.attempt:
                continue
            text = self.texts.get(fact.run_id)
            have = "" if text is None else text.after(0) or ""
            content = said.get(fact.run_id, have)
            counts = text is not None and text.attempt == fact.attempt and text.seq <= fact.last_seq
            if text is None or not counts or not content.startswith(have):
                # Nothing was told, or another text than the one that counts: that is taken back.
                text, have = self._start(fact.run_id, fact.attempt), ""
                content = said.get(fact.run_id, "")
            if text.seq < fact.last_seq:
                self._grow(text, fact.last_seq, content[len(have) :])
            self._out.append(Settled(text))


def _queued(conversation_id: str, run: RunView) -> frames.RunQueuedPush:
    return frames.RunQueuedPush(
        run_id=run.run_id,
        conversation_id=conversation_id,
        message_id=run.message_id,
        agent_id=run.agent.agent_id,
        attempt=0,
        question_id=run.question_id,
    )


def _in_the_list(view: ConversationView) -> tuple[object, ...]:
    return view.title, view.archived, view.deleted, view.agent_id


def join(feed: Feed, follower: Follower, named: Mapping[str, frames.RunCursor]) -> list[frames.Run]:
    """Let a follower in at the feed's position; returns the open runs, each from where the client says it is."""
    runs = []
    for run in feed.view.runs.values():
        text = feed.texts.get(run.run_id)
        attempt, seq, has, new = run.attempt, 0, 0, ""
        if text is not None:
            attempt, seq = text.attempt, text.seq
            cursor = named.get(run.run_id)
            if cursor is not None and cursor.attempt == attempt and (after := text.after(cursor.seq)) is not None:
                has, new = cursor.seq, after
                if has > seq:
                    follower.place(run.run_id, has)
                    seq = has
            else:
                new = text.after(0) or ""
        runs.append(
            frames.Run(
                run_id=run.run_id,
                message_id=run.message_id,
                agent_id=run.agent.agent_id,
                status=run.status,
                attempt=attempt,
                from_seq=has + 1,
                seq=seq,
                text=new,
                question_id=run.question_id,
            )
        )
    feed.followers.add(follower)
    return runs
