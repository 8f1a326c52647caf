"""`chorus dlq`: dead letters are counted, shown without harm, and sent back once."""

import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from schemas.dead_letters import Disposition
from streams.dead_letters import DeadLetter, Record, dead_letter_headers
from tests.operator.conftest import Operator
from tests.streams.conftest import MakeTopic

OWN = [("ce_id", b"the-id"), ("ce_type", b"chorus.test.v1"), ("odd", b"\xff\x1b[31m")]


class Aside:
    """A topic with dead letters."""

    def __init__(self, operator: Operator, topic: str) -> None:
        self.operator = operator
        self.topic = topic

    async def put(
        self, value: bytes | None, key: bytes | None, error: Exception, *, partition: int = 0, offset: int = 7
    ) -> None:
        """Put a record aside as an intake does."""
        record = Record(
            topic=self.topic, partition=partition, offset=offset, key=key, value=value, headers=OWN, timestamp_ms=1
        )
        disposition = error.disposition if isinstance(error, DeadLetter) else Disposition.DECODE
        headers = dead_letter_headers(record, error, disposition, group="readers", now=datetime.now(UTC))
        await self.operator.send(f"{self.topic}-dlq", value, key, headers)


@pytest_asyncio.fixture
async def aside(operator: Operator, make_topic: MakeTopic) -> Aside:
    """Three letters: two that do not decode, the second neither text nor without tricks, and one that was refused."""
    aside = Aside(operator, make_topic(3))
    await aside.put(b"no json", b"a", ValueError("not JSON"))
    await aside.put(b"\xff\x1b]0;evil\x07", b"\xfe", ValueError("bad \x1b[2J bytes"))
    await aside.put(b"{}", b"a", DeadLetter("refused"))
    return aside


async def test_they_are_counted_by_what_went_wrong(aside: Aside, operator: Operator) -> None:
    """By class of error, disposition and group, with the first and last time; of one topic or of all."""
    told = await operator.told("dlq", "list", aside.topic)
    kinds = {found["error_class"]: found for found in told["letters"]}
    assert {name: (found["count"], found["disposition"], found["group"]) for name, found in kinds.items()} == {
        "ValueError": (2, "decode", "readers"),
        "DeadLetter": (1, "rejected", "readers"),
    }
    first, last = (datetime.fromisoformat(kinds["ValueError"][name]) for name in ("first", "last"))
    assert datetime.now(UTC) - timedelta(minutes=5) < first <= last
    assert isinstance(told["unfit_facts"], int)

    everything = await operator.run("dlq", "list")
    assert everything.exit_code == 0
    assert f"{aside.topic}-dlq" in everything.stdout


async def test_they_are_shown_whole_and_harmless(aside: Aside, operator: Operator) -> None:
    """Why, from where, key, size, headers, bytes; nothing that a terminal would obey; and no byte lost in JSON."""
    shown = await operator.run("dlq", "show", aside.topic)
    for said in (
        "ValueError",
        "not JSON",
        f"{aside.topic} 0:7",
        "7 B",
        "ce_id: the-id",
        r"\xff\x1b]0;evil\x07",
        r"\xfe",
    ):
        assert said in shown.stdout
    assert all(character.isprintable() or character == "\n" for character in shown.stdout)

    lines = await operator.lines("dlq", "show", aside.topic, "--error", "valueerror")
    assert sorted(map(str, (line["value"] for line in lines))) == ["no json", "{'base64': '/xtdMDtldmlsBw=='}"]
    assert lines[0]["failure"]["attempts"] == 1
    assert await operator.lines("dlq", "show", aside.topic, "--since", "0s") == []
    one = next(line for line in lines if line["value"] == "no json")
    where = f"{one['partition']}:{one['offset']}"
    assert await operator.lines("dlq", "show", aside.topic, "--offsets", f"{where}-{one['offset']}") == [one]


async def test_a_redrive_sends_each_back_once(aside: Aside, operator: Operator) -> None:
    """Same key, value, id and partition, own headers, its re-drive's id, failures counted on; a second time nothing;
    all of it written down; the letters stay."""
    counted = await operator.told("dlq", "redrive", aside.topic, "--dry-run")
    assert (counted["count"], counted["redrive_id"]) == (3, None)
    assert await operator.records(aside.topic) == []

    told = await operator.told("dlq", "redrive", aside.topic, "--yes", "--error", "ValueError")
    back = await operator.records(aside.topic)
    letters = {r.value: r for r in await operator.records(f"{aside.topic}-dlq")}
    assert len(letters) == 3
    assert sorted((r.key, r.value) for r in back) == [(b"a", b"no json"), (b"\xfe", b"\xff\x1b]0;evil\x07")]
    for record in back:
        assert record.partition == letters[record.value].partition
        assert list(record.headers) == [*OWN, ("redrive.id", told["redrive_id"].encode()), ("dlq.attempts", b"1")]

    rest = await operator.told("dlq", "redrive", aside.topic, "--yes")
    assert (rest["count"], rest["sent_before"]) == (1, 2)
    assert (await operator.told("dlq", "redrive", aside.topic, "--yes"))["count"] == 0
    assert (await operator.told("dlq", "redrive", aside.topic, "--dry-run", "--again"))["count"] == 3

    recorded = [r for r in await operator.told("dlq", "redrives") if r["topic"] == aside.topic]
    assert [(r["id"], r["count"]) for r in recorded] == [(rest["redrive_id"], 1), (told["redrive_id"], 2)]
    assert recorded[1]["filters"]["error"] == "ValueError"
    assert "@" in recorded[1]["who"]
    assert all(r["finished_at"] for r in recorded)
    assert sum(last - first + 1 for some in recorded[1]["letters"].values() for first, last in some) == 2


async def test_what_fails_again_is_counted_on(aside: Aside, operator: Operator) -> None:
    """The second failure of a re-driven record is the second; and it can be re-driven like the first."""
    headers = [*OWN, ("redrive.id", b"some"), ("dlq.attempts", b"1")]
    record = Record(topic=aside.topic, partition=0, offset=9, key=b"a", value=b"x", headers=headers, timestamp_ms=1)
    again = dead_letter_headers(record, ValueError("still"), Disposition.DECODE, group="readers", now=datetime.now(UTC))
    await operator.send(f"{aside.topic}-dlq", b"x", b"a", again)

    shown = [line for line in await operator.lines("dlq", "show", aside.topic) if line["value"] == "x"]
    assert (shown[0]["failure"]["attempts"], shown[0]["failure"]["redrive_id"]) == (2, "some")
    told = await operator.told("dlq", "redrive", aside.topic, "--yes")
    back = next(r for r in await operator.records(aside.topic) if r.value == b"x")
    assert list(back.headers) == [*OWN, ("redrive.id", told["redrive_id"].encode()), ("dlq.attempts", b"2")]


async def test_an_interrupted_redrive_is_seen_and_done_again(aside: Aside, operator: Operator) -> None:
    """It is written down before anything is sent: whoever looks sees that it did not finish, and its letters go again
    with the next."""
    told = await operator.told("dlq", "redrive", aside.topic, "--yes")
    connection = await asyncpg.connect(operator.stack.database_url)
    await connection.execute("UPDATE redrives SET finished_at = NULL WHERE id = $1", told["redrive_id"])
    await connection.close()

    shown = await operator.run("dlq", "redrives")
    assert "interrupted" in next(line for line in shown.stdout.splitlines() if aside.topic in line)
    assert (await operator.told("dlq", "redrive", aside.topic, "--dry-run"))["count"] == 3


async def test_what_cannot_be_done_is_said_in_a_sentence(aside: Aside, operator: Operator) -> None:
    """Exit code 2, and what to do: one writer's topic, nobody to ask, an unknown topic, bad offsets, a bad time,
    PostgreSQL away, Kafka away."""
    assert "chorus replay history" in await operator.refused("dlq", "redrive", "conversation-events", "--yes")
    asked = await operator.run("dlq", "redrive", aside.topic)
    assert (asked.exit_code, "--yes" in asked.stderr) == (2, True)
    assert await operator.records(aside.topic) == []
    assert aside.topic in await operator.refused("dlq", "show", "no-such-topic")
    assert "3:5-9" in await operator.refused("dlq", "show", aside.topic, "--offsets", "abc")
    assert "15m" in await operator.refused("dlq", "show", aside.topic, "--since", "noonish")
    away = {"CHORUS_DATABASE_URL": "postgresql://chorus@127.0.0.1:1/chorus"}
    assert "PostgreSQL at 127.0.0.1:1" in await operator.refused("dlq", "redrive", aside.topic, "--yes", **away)
    listed = await operator.run("dlq", "list", aside.topic, **away)
    assert (listed.exit_code, "PostgreSQL" in listed.stderr) == (0, True)
    assert "CHORUS_KAFKA" in await operator.refused("dlq", "list", CHORUS_KAFKA="127.0.0.1:1")


@pytest.mark.parametrize("headers", [[], [("dlq.orig.topic", b"another")], [("dlq.attempts", b"many\xff")]])
async def test_what_is_no_dead_letter_of_the_topic_is_not_sent_into_it(
    aside: Aside, operator: Operator, headers: list[tuple[str, bytes]]
) -> None:
    """Anybody may have written into the dead-letter topic: it is shown and left out."""
    await operator.send(f"{aside.topic}-dlq", json.dumps("stray").encode(), b"a", headers)
    told = await operator.told("dlq", "redrive", aside.topic, "--dry-run")
    assert (told["count"], told["foreign"]) == (3, 1)
