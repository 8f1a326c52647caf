"""`chorus topics`, `status`, `completion`; and how all of them write times, sizes and texts."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.command import OPERATOR
from infra.operator import shown
from infra.operator.health import Health
from infra.operator.status import not_well
from infra.operator.times import FORMS, BadTime, moment_of
from infra.operator.topics import Actual, differences
from schemas.topics import AGENT_REQUESTS, TOPICS
from tests.operator.conftest import Operator
from tests.running import DEADLINE_S, ROOT, own_settings

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
WANTED = {"retention.ms": 5, "max.message.bytes": 7, "min.insync.replicas": 2}


@asynccontextmanager
async def _configured(operator: Operator, topic: str, name: str, value: str) -> AsyncIterator[None]:
    admin = AdminClient({"bootstrap.servers": operator.stack.kafka})

    async def alter(kind: AlterConfigOpType, to: str) -> None:
        entry = ConfigEntry(name, to, incremental_operation=kind)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for done in admin.incremental_alter_configs([resource]).values():
            await asyncio.to_thread(done.result, 10)

    before = next(t for t in await operator.told("topics") if t["name"] == topic)["actual"]["settings"][name]
    await alter(AlterConfigOpType.SET, value)
    try:
        yield
    finally:
        await alter(AlterConfigOpType.SET, before)


async def test_real_topics_stand_beside_the_contract(operator: Operator) -> None:
    """All as they are to be: exit code 0; a setting that somebody changed is named, exit code 1; Kafka away: the
    contract alone, a sentence, exit code 2."""
    told = await operator.run("topics", "--json")
    assert told.exit_code == 0
    topics = {topic["name"]: topic for topic in json.loads(told.stdout)}
    assert set(topics) == {topic.name for topic in TOPICS}
    for topic in topics.values():
        assert (topic["differences"], topic["dead_letter_topic"]["differences"]) == ([], [])
        assert topic["actual"]["partitions"] == topic["partitions"]

    async with _configured(operator, AGENT_REQUESTS.topic, "retention.ms", "1234567"):
        changed = await operator.run("topics")
    assert changed.exit_code == 1
    assert "retention.ms 1234567, not 604800000" in changed.stdout

    away = await operator.run("topics", CHORUS_KAFKA="127.0.0.1:1")
    assert away.exit_code == 2
    assert AGENT_REQUESTS.topic in away.stdout
    assert "Kafka at 127.0.0.1:1 does not answer" in away.stderr


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        (None, "missing"),
        (Actual(partitions=11, copies=3, in_sync=3, records=0), "11 partitions, not 12"),
        (Actual(partitions=12, copies=1, in_sync=1, records=0), "1 copies, not 3"),
        (Actual(partitions=12, copies=3, in_sync=2, records=0), "only 2 of 3 copies in sync"),
        (
            Actual(partitions=12, copies=3, in_sync=3, records=0, settings={"retention.ms": "6"}),
            "retention.ms 6, not 5",
        ),
        (Actual(partitions=12, copies=3, in_sync=3, records=0, settings={"cleanup.policy": "compact"}), "compact, not"),
    ],
)
def test_every_difference_of_a_topic_is_named(actual: Actual | None, said: str) -> None:
    """Whatever it is that somebody changed, or that broke."""
    assert said in "; ".join(differences(12, WANTED, 3, actual))


def test_a_topic_as_it_is_to_be_has_no_difference() -> None:
    """More copies than asked for are none."""
    settings = {name: str(value) for name, value in WANTED.items()} | {"cleanup.policy": "delete"}
    assert differences(12, WANTED, 2, Actual(partitions=12, copies=3, in_sync=3, records=1, settings=settings)) == []


async def test_status_says_what_is_wrong(operator: Operator) -> None:
    """Dead letters of the last day are counted; its JSON keeps its shape; `--quick` asks nobody; and without a running
    stack it is exit code 1."""
    await operator.send(f"{AGENT_REQUESTS.topic}-dlq", b"aside")
    async with asyncio.timeout(DEADLINE_S):
        while True:  # it waits a second for Kafka, which on a busy machine is at times too short
            told = await operator.told("status")
            assert told["wrong"]
            if any("in the last day: see `chorus dlq list`" in sentence for sentence in told["wrong"]):
                break
    assert told["running"] is True
    assert {part["role"] for part in told["processes"]} >= {"kafka", "postgres", "redis"}
    assert "dead letter" in (await operator.run("status")).stdout
    assert "wrong" not in await operator.told("status", "--quick")

    nothing = await operator.run("status", "--data", str(operator.stack.data / "nothing"))
    assert (nothing.exit_code, nothing.stdout) == (1, "Chorus is not running.\n")


def test_what_processes_say_of_themselves_is_passed_on() -> None:
    """Why one is not ready, and who is behind for longer than a burst; two replicas of a group are one."""
    group = (("group", "history"), ("partition", "1"), ("topic", "t"))
    behind = {"chorus_intake_lag_records": {group: 70.0}, "chorus_intake_lag_seconds": {group: 12.0}}
    burst = {"chorus_intake_lag_records": {group: 50.0}, "chorus_intake_lag_seconds": {group: 1.0}}
    said = list(not_well([Health("history-0", None, behind), Health("history-1", "stopped, so that", burst)]))
    assert said == [
        "history-1 is not ready: stopped, so that",
        "history is 120 records behind, the oldest for 12 s: see `chorus lag`",
    ]
    assert list(not_well([Health("history-1", None, burst)])) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_there_is_a_script_for_each_shell(operator: Operator, shell: str) -> None:
    """A script for each shell."""
    assert "_CHORUS_COMPLETE" in (await operator.run("completion", shell)).stdout


def test_listing_commands_loads_none_of_them() -> None:
    """Help and completion come at once: the clients of Kafka and PostgreSQL are slow to import."""
    code = (
        "import sys; from infra.command import main; main(['--help'], standalone_mode=False); "
        "sys.exit(bool({'aiokafka', 'confluent_kafka', 'asyncpg'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(name in done.stdout for name in OPERATOR)


@pytest.mark.parametrize("name", OPERATOR)
async def test_every_command_explains_itself(operator: Operator, name: str) -> None:
    """Each that is listed is there."""
    shown = await operator.run(name, "--help")
    assert (shown.exit_code, f" {name} " in shown.stdout) == (0, True)


def test_topics_are_completed() -> None:
    """As any shell asks for it."""
    words = {"_CHORUS_COMPLETE": "bash_complete", "COMP_WORDS": "chorus tail conv", "COMP_CWORD": "2"}
    code = "from infra.command import main; main(prog_name='chorus')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=own_settings() | words, capture_output=True, text=True, check=False
    )
    assert "plain,conversation-events" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00+07:00", datetime(2026, 1, 31, 1, tzinfo=UTC)),
        ("2026-01-31T08:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("yesterday", datetime(2026, 3, 3, tzinfo=UTC)),
    ],
)
def test_times_are_understood(text: str, at: datetime) -> None:
    """In the forms that a person writes."""
    assert moment_of(text, NOW) == at


@pytest.mark.parametrize("text", ["", "noon", "2x", "h", "2026-13-01", "99:00"])
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    """So that nobody has to look them up."""
    with pytest.raises(BadTime, match="15m") as told:
        moment_of(text, NOW)
    assert FORMS in str(told.value)


def test_nothing_reaches_the_terminal_raw() -> None:
    """Control characters, overrides of direction, halves of characters: all of it as escapes; words stay words."""
    assert shown.safe("a\x1b[31m\x07\x9b\r\n\u202e\u2028\ud800") == r"a\x1b[31m\x07\x9b\r\n\u202e\u2028\ud800"
    assert shown.safe("Giá cà phê 🙂") == "Giá cà phê 🙂"
    assert shown.readable(b"\xff\x00ok", 5) == r"\xff\…"


def test_sizes_and_durations_are_short() -> None:
    """In the unit that a person would take."""
    assert [shown.size(n) for n in (0, 999, 1_000, 12_345, 999_600, 5 * 10**12)] == [
        *("0 B", "999 B", "1.0 kB", "12 kB", "1.0 MB", "5.0 TB")
    ]
    assert [shown.duration(s) for s in (0.44, 12, 59.6, 185, 7_800, 200_000)] == [
        *("0.4 s", "12 s", "60 s", "3:05 min", "2:10:00 h", "2 d 7 h")
    ]
