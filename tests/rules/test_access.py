"""What is remembered of who may see what, and for how long."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import UNSET

from edge import access as module
from edge.access import AWAY_RETRY_S, FRESH_S, MISSING_FRESH_S, Access
from edge.errors import Refused
from schemas.frames import ErrorCode
from schemas.ids import new_id

USER, PROJECT, CONVERSATION, AGENT = (new_id() for _ in range(4))


class Database:
    """Stands in for a pool: answers what it is told, and counts how often it is asked."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any] | None] = {}
        self.away = False
        self.asked = 0

    async def fetchrow(self, statement: str, *_values: object) -> dict[str, Any] | None:
        self.asked += 1
        if self.away:
            raise ConnectionRefusedError
        for table in ("conversations c", "FROM project_members", "FROM agents", "FROM projects"):
            if table in statement:
                return self.rows.get(table.split()[-1] if " c" not in table else "conversations")
        raise AssertionError(statement)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database() -> Database:
    database = Database()
    database.rows["project_members"] = {"role": "member"}
    database.rows["conversations"] = {
        "project_id": PROJECT,
        "role": "viewer",
        "agent_id": None,
        "archived": False,
        "deleted": False,
    }
    return database


@pytest.fixture
def access(database: Database, clock: Clock) -> Access:
    return Access(database, clock)  # type: ignore[arg-type]


async def refusal(look_up: Callable[[], Any]) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        await look_up()
    return refused.value.code


async def test_a_warm_conversation_costs_no_query(access: Access, database: Database, clock: Clock) -> None:
    """Within a few seconds what was found is not asked for again; after them it is."""
    for _ in range(10):
        assert (await access.conversation(USER, CONVERSATION)).role == "viewer"
    assert database.asked == 1
    clock.now += FRESH_S
    await access.conversation(USER, CONVERSATION)

    assert database.asked == 2


async def test_what_is_missing_is_missed_shortly(access: Access, database: Database, clock: Clock) -> None:
    """A thing that was made elsewhere a moment ago is found within half a second."""
    made, database.rows["conversations"] = database.rows["conversations"], None
    assert await refusal(lambda: access.conversation(USER, CONVERSATION)) == ErrorCode.NOT_FOUND
    database.rows["conversations"] = made
    clock.now += MISSING_FRESH_S

    assert (await access.conversation(USER, CONVERSATION)).project_id == PROJECT
    assert MISSING_FRESH_S <= 0.5


async def test_what_is_known_is_kept_while_postgresql_is_away(access: Access, database: Database, clock: Clock) -> None:
    """A warm conversation goes on; PostgreSQL is asked again every now and then, not at every message."""
    await access.conversation(USER, CONVERSATION)
    database.away = True
    for _ in range(100):
        clock.now += FRESH_S
        assert (await access.conversation(USER, CONVERSATION)).project_id == PROJECT
    asked = database.asked
    clock.now += FRESH_S
    for _ in range(100):
        await access.conversation(USER, CONVERSATION)
    assert database.asked == asked + 1

    database.away = False
    clock.now += AWAY_RETRY_S
    database.rows["conversations"] = None
    assert await refusal(lambda: access.conversation(USER, CONVERSATION)) == ErrorCode.NOT_FOUND


async def test_what_is_not_known_is_unavailable(access: Access, database: Database, clock: Clock) -> None:
    """With PostgreSQL away nobody is let in who was not in before, nor told that their things do not exist."""
    database.rows["project_members"] = None
    assert await refusal(lambda: access.project_role(USER, PROJECT)) == ErrorCode.NOT_FOUND
    database.away = True
    clock.now += FRESH_S

    assert await refusal(lambda: access.project_role(USER, PROJECT)) == ErrorCode.UNAVAILABLE
    assert await refusal(lambda: access.conversation(USER, CONVERSATION)) == ErrorCode.UNAVAILABLE


async def test_nobody_gets_anothers_answer(access: Access, database: Database) -> None:
    """What is remembered for one person is not remembered for another."""
    await access.conversation(USER, CONVERSATION)
    database.rows["conversations"] = None

    assert await refusal(lambda: access.conversation(new_id(), CONVERSATION)) == ErrorCode.NOT_FOUND


async def test_a_change_of_ones_own_is_seen_at_once(access: Access, database: Database) -> None:
    """Who changes a conversation does not see it as it was."""
    await access.conversation(USER, CONVERSATION)
    access.forget_conversation(USER, CONVERSATION)
    database.rows["conversations"] = database.rows["conversations"] | {"archived": True}  # type: ignore[operator]

    assert (await access.conversation(USER, CONVERSATION)).archived


async def test_agents_absent_null_and_named(access: Access, database: Database) -> None:
    """Absent means the project's default agent, null nobody, and an id that agent, with its own context length."""
    database.rows["projects"] = {"default_agent_id": AGENT}
    database.rows["agents"] = {"id": AGENT, "version": 3, "context_messages": None, "price": None}
    default = await access.agent(PROJECT, UNSET)
    assert default is not None
    assert (default.agent_id, default.version, default.context_messages) == (AGENT, 3, 10)
    assert await access.agent(PROJECT, None) is None

    database.rows["agents"] = {"id": AGENT, "version": 1, "context_messages": 4, "price": 7}
    other = await access.agent(PROJECT, new_id())
    assert other is not None
    assert (other.context_messages, other.price) == (4, 7)


async def test_a_project_without_a_default_agent(access: Access, database: Database) -> None:
    """Nobody answers where no agent was chosen."""
    database.rows["projects"] = {"default_agent_id": None}

    assert await access.agent(PROJECT, UNSET) is None


async def test_memory_is_bounded(access: Access, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was unused for longest is forgotten first."""
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    ids = [new_id() for _ in range(4)]
    for id in ids[:3]:
        await access.conversation(USER, id)
    await access.conversation(USER, ids[0])
    await access.conversation(USER, ids[3])
    asked = database.asked
    await access.conversation(USER, ids[0])
    assert database.asked == asked
    await access.conversation(USER, ids[1])

    assert database.asked == asked + 1


async def test_what_changed_is_asked_for_again(access: Access, database: Database, clock: Clock) -> None:
    """Of a project, a person or an agent that changed nothing is believed any more, and of others everything is."""
    for ids in ([PROJECT], [USER]):
        await access.conversation(USER, CONVERSATION)
        before = database.asked
        clock.now += 0.1
        access.changed([AGENT])
        await access.conversation(USER, CONVERSATION)
        assert database.asked == before
        access.changed(ids)
        clock.now += 0.1
        await access.conversation(USER, CONVERSATION)
        assert database.asked == before + 1


async def test_what_changed_is_not_believed_while_postgresql_is_away(
    access: Access, database: Database, clock: Clock
) -> None:
    """Whoever was removed does not go on because nobody can be asked whether they may."""
    await access.conversation(USER, CONVERSATION)
    database.away = True
    clock.now += 0.1
    access.changed([PROJECT])
    clock.now += 0.1

    for _ in range(2):
        assert await refusal(lambda: access.conversation(USER, CONVERSATION)) == ErrorCode.UNAVAILABLE


async def test_what_changed_while_it_was_asked_for_is_asked_for_again(
    access: Access, database: Database, clock: Clock
) -> None:
    """An answer that was on its way when the change was told may be from before it."""
    ask = database.fetchrow

    async def and_changes(statement: str, *values: object) -> dict[str, Any] | None:
        found = await ask(statement, *values)
        if database.asked == 1:
            access.changed([PROJECT])
            database.rows["conversations"] = None
        clock.now += 0.1
        return found

    database.fetchrow = and_changes  # type: ignore[method-assign]

    assert await refusal(lambda: access.conversation(USER, CONVERSATION)) == ErrorCode.NOT_FOUND


async def test_many_changes_are_remembered_as_all(
    access: Access, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too many things change to be told apart, nothing is believed."""
    monkeypatch.setattr(module, "MOST_CHANGES", 5)
    await access.conversation(USER, CONVERSATION)
    access.changed(new_id() for _ in range(6))
    await access.conversation(USER, CONVERSATION)

    assert database.asked == 2
