"""`chorus audit`: it finds every difference between the log and the tables, and none where there is none."""

import asyncio
import os
import random

import asyncpg
import pytest

from infra import history
from infra.operator.compared import Difference, Told, differences
from schemas import events, ids
from schemas.opened import Opened
from schemas.sealing import DataKey
from tests.conftest import StartProcess
from tests.operator.conftest import Operator
from tests.projections.talk import Talk
from tests.running import DEADLINE_S


class Project:
    """A project whose conversations are in the log and, once `stored`, in the tables."""

    def __init__(
        self, operator: Operator, pool: "asyncpg.Pool[asyncpg.Record]", key: DataKey, start: StartProcess
    ) -> None:
        self.id = ids.new_id()
        self.pool = pool
        self.key = key
        self.publish = operator.publish
        self._start = start
        seed = int(os.environ.get("CHORUS_TEST_SEED") or random.randrange(2**32))
        print(f"seed {seed} (CHORUS_TEST_SEED)")
        self._random = random.Random(seed)
        self.talks = [self.talk() for _ in range(5)]

    def talk(self) -> Talk:
        return Talk(self._random, self.key, project_id=self.id)

    async def go_on(self, count: int) -> None:
        for talk in self.talks:
            await self.publish(*talk.go_on(count))

    async def stored(self) -> None:
        """Let history store what is in the log."""
        running = await self._start("streams", "history")
        wanted = [talk.view.position for talk in self.talks if talk.view is not None]
        async with asyncio.timeout(DEADLINE_S):
            while await self._positions() != wanted:  # noqa: ASYNC110  # nobody here could set an event
                await asyncio.sleep(0.05)
        await running.stop()

    async def _positions(self) -> list[int]:
        return [await history.position(self.pool, talk.conversation_id) for talk in self.talks]


@pytest.fixture
def project(
    operator: Operator, pool: "asyncpg.Pool[asyncpg.Record]", key: DataKey, start_process: StartProcess
) -> Project:
    return Project(operator, pool, key, start_process)


@pytest.mark.slow
async def test_it_finds_what_was_changed_and_nothing_else(project: Project, operator: Operator) -> None:
    """Whatever was said in a project agrees, also where the tables are behind the log; each change of a row is named
    for what it is; what people wrote is shown nowhere."""
    await project.go_on(40)
    purged = project.talk()
    await project.publish(*purged.go_on(20), *purged.end())
    project.talks.append(purged)
    await project.stored()
    project.talks.remove(purged)
    await project.go_on(10)  # of which the tables know nothing yet
    clean = await operator.told("audit", "--project", project.id, "--run-limit", "999999999")
    assert (clean["clean"], clean["differences"]) == (True, [])
    assert clean["not_stored"] >= 50
    assert clean["compared"]["conversation"] == 6
    assert clean["compared"]["message"] > 5
    assert clean["compared"]["run"] > 5

    overdue = await operator.told("audit", "--project", project.id, "--run-limit", "1")
    opened = await project.pool.fetchval(
        "SELECT count(*) FROM runs JOIN conversations AS c ON c.id = conversation_id "
        "WHERE c.project_id = $1 AND ended_at IS NULL AND requested_at IS NOT NULL AND status <> 'queued'",
        project.id,
    )
    assert overdue["counts"].get("overdue", 0) == opened

    rows = await project.pool.fetch("SELECT id::text FROM messages WHERE project_id = $1", project.id)
    changed, lost, deleted, *_ = (row["id"] for row in rows)
    run, status = await project.pool.fetchrow(
        "SELECT r.id::text, status FROM runs AS r JOIN conversations AS c ON c.id = conversation_id "
        "WHERE c.project_id = $1 LIMIT 1",
        project.id,
    )
    await project.pool.execute("UPDATE runs SET status = 'odd' WHERE id = $1", run)
    await project.pool.execute("UPDATE messages SET content = 'SECRET' WHERE id = $1", changed)
    await project.pool.execute("DELETE FROM messages WHERE id = $1", lost)
    await project.pool.execute("UPDATE messages SET content = '', content_deleted = true WHERE id = $1", deleted)
    titled = project.talks[0].conversation_id
    await project.pool.execute("UPDATE conversations SET title = 'SECRET' WHERE id = $1", titled)
    extra = ids.new_id()
    await project.pool.execute(
        "INSERT INTO conversations (id, project_id, created_by, position, created_at, updated_at) "
        "VALUES ($1, $2, $1, 1, now(), now())",
        extra,
        project.id,
    )

    arguments = ("audit", "--project", project.id, "--run-limit", "999999999")
    found = await operator.told(*arguments)
    said = {difference["what"] for difference in found["differences"]}
    assert said == {
        f"message {changed}: content differs",
        f"message {lost} is in the log and not in the tables",
        f"message {deleted}: deleted is False in the log and True in the tables; content differs",
        f"run {run}: status is {status} in the log and odd in the tables",
        "conversation: title differs",
        "conversation is in the tables and not in the log",
    }
    assert found["counts"] == {"different": 4, "missing": 1, "extra": 1}
    printed = await operator.run(*arguments)
    assert printed.exit_code == 1
    assert "6 differences" in printed.stdout
    assert "SECRET" not in printed.stdout


async def test_a_destroyed_key_is_no_difference(project: Project, operator: Operator) -> None:
    """What was deleted with its key agrees where the tables say that it is deleted, and differs where they still have
    the text."""
    await project.publish(*project.talks[0].go_on(1))
    project.talks = project.talks[:1]
    talk = project.talks[0]
    await project.publish(talk.record(talk.posted("words")))
    await project.stored()
    arguments = ("audit", "--project", project.id)
    assert (await operator.told(*arguments))["clean"]

    await project.pool.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", project.key.owner_id
    )
    assert not (await operator.told(*arguments))["clean"]
    await project.pool.execute(
        "UPDATE messages SET content = '', content_deleted = true WHERE owner_id = $1", project.key.owner_id
    )
    await project.pool.execute("UPDATE conversations SET title = NULL WHERE id = $1", talk.conversation_id)
    assert (await operator.told(*arguments))["clean"]


def _folded(*records: events.ConversationAdvanced) -> tuple[Told, list[Difference]]:
    told = Told(keep=True)
    wrong = [found for record in records if (found := told.add(Opened(record))) is not None]
    told.finish()
    return told, wrong


@pytest.fixture
def talk() -> Talk:
    return Talk(random.Random(1), DataKey.of(ids.new_id(), bytes(32)))


def test_the_first_record_of_a_position_counts(talk: Talk) -> None:
    """One that was written again, by whomever, changes nothing but a count."""
    records = talk.go_on(20)
    other = Talk(random.Random(2), talk.key, conversation_id=talk.conversation_id)
    once, _ = _folded(*records)
    again, wrong = _folded(*records[:7], *other.go_on(7), *records[3:])
    assert (again.tally.lines, again.tally.sum, wrong) == (once.tally.lines, once.tally.sum, [])
    assert again.repeated == 7 + 4


def test_a_hole_is_a_difference(talk: Talk) -> None:
    """Missing positions are named, and what comes after them is compared all the same."""
    records = [talk.created(), *(talk.record(talk.posted(f"words {n}")) for n in range(5))]
    told, wrong = _folded(*records[:2], *records[4:])
    assert [difference.what for difference in wrong] == ["positions 3 to 4 are missing in the log"]
    assert told.tally.kinds["message"] == 3
    _, wrong = _folded(*records[1:])
    assert wrong[0].kind == "hole"


def test_equal_sums_mean_equal_lines(talk: Talk) -> None:
    """Whatever order lines are added in; and one changed value is seen."""
    told, _ = _folded(*talk.go_on(30))
    assert told.tally.lines
    mixed, changed = type(told.tally)(keep=True), type(told.tally)(keep=True)
    for (kind, thing_id), values in sorted(told.tally.lines.items(), reverse=True):
        mixed.add(kind, thing_id, values)
        changed.add(kind, thing_id, (*values[:-1], "other") if kind == "conversation" else values)
    assert mixed.sum == told.tally.sum != changed.sum
    found = list(differences(talk.conversation_id, told.tally.lines, changed.lines or {}))
    assert [difference.kind for difference in found] == ["different"]
