"""What is left when all is quiet again: the log, the history, the screens and the agent's own calls, against what was
acknowledged.

Whether money adds up is `tests.faults.money`'s.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from infra.kafka import end_offsets, read_partition
from infra.settings import KafkaSettings
from schemas import events
from schemas.contract import InvalidRecord
from schemas.topics import CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from tests.client import Frame
from tests.faults.load import TOKENS, Load, Sent, Window


@dataclass
class Findings:
    """What was found, each as a sentence; empty lists are what is wanted."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    money: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    """Calls of the agent beyond one for each attempt, of which the agent itself says that nothing went wrong."""
    answers: int = 0
    failed: int = 0
    """Runs that ended as `failed`: right where the agent was away, wrong elsewhere."""
    attempts: int = 0
    """Attempts beyond the first."""
    ignored: int = 0
    """Records at a position that had one: readers ignore them."""

    def all(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.disordered, *self.unfinished, *self.money, *self.unexplained]


@dataclass
class _Run:
    conversation_id: str
    attempts: int = 0
    ends: list[str] = field(default_factory=list)


@dataclass
class Log:
    """What conversation-events says of the load's conversations, first record of each position."""

    posted: defaultdict[str, list[events.MessagePosted]] = field(default_factory=lambda: defaultdict(list))
    runs: dict[str, _Run] = field(default_factory=dict)
    ignored: int = 0
    holes: list[str] = field(default_factory=list)

    def unfinished(self) -> list[str]:
        return [run_id for run_id, run in self.runs.items() if not run.ends]


async def starts(kafka: KafkaSettings) -> dict[int, int]:
    """Where each partition of the log ends now: what comes behind is a scenario's."""
    return await end_offsets(kafka, CONVERSATION_EVENTS.topic, set(range(CONVERSATION_PARTITIONS)))


async def read_log(kafka: KafkaSettings, since: dict[int, int], conversations: set[str]) -> Log:
    """Read the log from there to its end."""
    log = Log()
    position: Counter[str] = Counter()
    for partition, end in (await starts(kafka)).items():
        async for record in read_partition(kafka, CONVERSATION_EVENTS.topic, partition, since[partition], end):
            if (record.key or b"").decode(errors="replace") not in conversations or record.value is None:
                continue
            try:
                advanced, _ = CONVERSATION_EVENTS.decode(record.value, record.headers)
            except InvalidRecord:
                continue  # poison: a scenario's own
            of = advanced.conversation_id
            if advanced.position <= position[of]:
                log.ignored += 1
                continue
            if advanced.position != position[of] + 1:
                log.holes.append(f"hole in {of}: {position[of]} → {advanced.position}")
            position[of] = advanced.position
            for fact in advanced.facts:
                _note(log, of, fact)
    return log


def _note(log: Log, conversation_id: str, fact: events.AnyFact) -> None:
    match fact:
        case events.MessagePosted():
            log.posted[conversation_id].append(fact)
        case events.RunQueued():
            log.runs[fact.run_id] = _Run(conversation_id)
        case events.RunStarted():
            log.runs[fact.run_id].attempts = max(log.runs[fact.run_id].attempts, fact.attempt)
        case events.RunEnded():
            log.runs[fact.run_id].ends.append(fact.status)


@dataclass
class Calls:
    """What the agent wrote down of one question: calls that began, and their outcomes where they ended."""

    began: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def sound(self, *, network_may_fail: bool) -> int:
        """Calls in which all went as it should, as far as the agent knows. Where its network may fail, a connection
        that broke or a call that never ended is the network's; elsewhere it was ours, and needs an attempt."""
        if network_may_fail:
            return self.outcomes["answered"]
        return self.began - self.outcomes["refused"] - self.outcomes["broken"]


def read_calls(file: Path) -> dict[str, Calls]:
    """By what was asked."""
    found: defaultdict[str, Calls] = defaultdict(Calls)
    asked: dict[str, str] = {}
    for line in file.read_bytes().splitlines():
        entry = msgspec.json.decode(line)
        if "asked" in entry:
            asked[entry["call"]] = entry["asked"]
            found[entry["asked"]].began += 1
        else:
            found[asked[entry["call"]]].outcomes[entry["outcome"]] += 1
    return found


def compare(
    load: Load, log: Log, histories: dict[str, list[Frame]], calls: dict[str, Calls], *, agent_may_fail: bool
) -> Findings:
    """Hold everything against everything. `histories` are the messages of each conversation, as REST gives them."""
    found = Findings(ignored=log.ignored, disordered=list(log.holes))
    for sentence in load.records.broken:
        (found.doubled if sentence.startswith("doubled") else found.disordered).append(sentence)
    for conversation_id, messages in histories.items():
        _check_conversation(found, load, log.posted[conversation_id], conversation_id, messages)
    for window in load.windows:
        _check_screens(found, window, histories)
    _check_runs(found, load, log, agent_may_fail)
    _check_calls(found, load, log, calls, agent_may_fail)
    return found


def _check_conversation(
    found: Findings, load: Load, posted: list[events.MessagePosted], conversation_id: str, messages: list[Frame]
) -> None:
    logged = Counter(fact.message_id for fact in posted)
    stored = Counter(message["id"] for message in messages)
    found.doubled += [f"{m} is {n} times in the log" for m, n in logged.items() if n > 1]
    found.doubled += [f"{m} is {n} times in the history" for m, n in stored.items() if n > 1]
    acked = {m: sent for m, sent in load.records.acked.items() if sent.conversation_id == conversation_id}
    found.lost += [f"{m} was acknowledged and is not in the log" for m in acked if m not in logged]
    found.lost += [f"{m} is in the log and not in the history" for m in logged if m not in stored]
    found.doubled += [f"{m} is in the history and not in the log" for m in stored if m not in logged]
    if stored.keys() == logged.keys() and [m["id"] for m in messages] != [fact.message_id for fact in posted]:
        found.disordered.append(f"log and history of {conversation_id} have different orders")
    said: defaultdict[str, list[int]] = defaultdict(list)
    for message in messages:
        if (sent := acked.get(message["id"])) is not None:
            said[sent.author_id].append(sent.number)
            if message["content"] != sent.content:
                found.lost.append(f"{sent.message_id} says something else in the history")
    for author_id, numbers in said.items():
        if numbers != sorted(numbers):
            found.disordered.append(f"what {author_id} said in {conversation_id} is in another order: {numbers}")


def _check_screens(found: Findings, window: Window, histories: dict[str, list[Frame]]) -> None:
    for conversation_id, screen in window.screens.items():
        history = [message["id"] for message in histories[conversation_id]]
        shown = list(screen.messages)
        wanted = history[len(history) - len(shown) :] if conversation_id in window.reset else history
        if shown == wanted:
            continue
        where = f"the screen {window.number} of {conversation_id}"
        found.lost += [f"{m} is not on {where}" for m in wanted if m not in screen.messages]
        found.doubled += [f"{m} is on {where} and in no history" for m in shown if m not in history]
        if set(shown) == set(wanted):
            found.disordered.append(f"{where} has another order than the history")


def _check_runs(found: Findings, load: Load, log: Log, agent_may_fail: bool) -> None:
    asked = {sent.run_id for sent in load.records.acked.values() if sent.run_id is not None}
    found.lost += [f"the run {run_id} was acknowledged and is not in the log" for run_id in asked - log.runs.keys()]
    found.unfinished += [f"the run {run_id} has not ended" for run_id in log.unfinished()]
    for run_id, run in log.runs.items():
        found.answers += 1
        found.attempts += max(0, run.attempts - 1)
        if len(run.ends) > 1:
            found.doubled.append(f"the run {run_id} has {len(run.ends)} ends")
        if run.ends[:1] == ["failed"]:
            found.failed += 1
            if not agent_may_fail:
                found.unfinished.append(f"the run {run_id} failed, though the agent was there")
    for facts in log.posted.values():
        for fact in facts:
            if fact.role == "assistant" and fact.run_id is not None:
                run = log.runs.get(fact.run_id)
                completed = run is not None and run.ends[:1] == ["completed"] and fact.usage is not None
                if completed and fact.usage.output_tokens != TOKENS:
                    found.lost.append(f"the answer {fact.message_id} has {fact.usage.output_tokens} tokens")


def _check_calls(found: Findings, load: Load, log: Log, calls: dict[str, Calls], agent_may_fail: bool) -> None:
    """A call beyond one for each attempt would be paid for and shown to nobody."""
    for content, made in calls.items():
        sent: Sent | None = load.records.by_content.get(content)
        if sent is None or sent.run_id is None or sent.run_id not in log.runs:
            continue
        attempts = log.runs[sent.run_id].attempts
        if made.sound(network_may_fail=agent_may_fail) > attempts:
            found.unexplained.append(
                f"the run {sent.run_id} had {made.began} calls in {attempts} attempts: {dict(made.outcomes)}"
            )
