"""Who may see what: memberships, conversations and agents, looked up in PostgreSQL and remembered for seconds.

A command on a warm conversation costs no query, and goes on while PostgreSQL is away with what was last known. What was
said to have changed (`edge.changes`) is not believed any longer, whether PostgreSQL is away or not. Only while Kafka is
away, too, may a removed member act for `FRESH_S` longer, or until PostgreSQL is back.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import asyncpg
from msgspec import UNSET, UnsetType

from edge.errors import Refused
from infra.postgres import AWAY, within
from schemas.events import AgentRef
from schemas.frames import ErrorCode

T = TypeVar("T")

FRESH_S: Final = 3.0
"""Seconds that something found is used without asking again."""
MISSING_FRESH_S: Final = 0.5
"""Seconds that something not found is believed missing: short, because it may just have been created elsewhere."""
AWAY_RETRY_S: Final = 1.0
"""Seconds that what was last known is used, once PostgreSQL was found away, before it is asked again."""
LOOKUP_TIMEOUT_S: Final = 2.0
"""Seconds for one look-up, waiting for a connection included."""
MOST_ENTRIES: Final = 50_000
"""About 20 MB at most; beyond it the entries unused for longest go first."""
MOST_CHANGES: Final = 10_000
"""Changed things that are remembered. Where more change within the life of an entry, all entries are forgotten."""

_ROLE = "SELECT role FROM project_members WHERE user_id = $1::uuid AND project_id = $2::uuid"
_PROJECTS = "SELECT project_id::text FROM project_members WHERE user_id = $1::uuid"
_CONVERSATION = """
SELECT c.project_id::text, m.role, c.agent_id::text, c.archived, c.deleted
FROM conversations c JOIN project_members m ON m.project_id = c.project_id AND m.user_id = $1::uuid
WHERE c.id = $2::uuid
"""
_AGENT = """
SELECT a.id::text, a.version, (v.config ->> 'context_messages')::integer AS context_messages, (
    SELECT CASE WHEN p.price IS NOT NULL THEN p.version END FROM prices AS p
    WHERE p.agent_id = a.id AND (p.model IS NULL OR p.model = v.config ->> 'model')
    ORDER BY p.model NULLS LAST, p.version DESC LIMIT 1
) AS price
FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
WHERE a.project_id = $1::uuid AND a.id = $2::uuid AND a.deleted_at IS NULL
"""
_DEFAULT_AGENT = "SELECT default_agent_id::text FROM projects WHERE id = $1::uuid"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was found, None for nothing.

    Attributes:
        asked_at: what changed after this may not be in it.
        about: ids of what it tells of: where one of them changes it is not believed any longer.
    """

    found: Any
    asked_at: float
    fresh_until: float
    about: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConversationAccess:
    """A conversation that the caller may see, and the caller's role in its project.

    Attributes:
        agent_id: who answers there by default; None where people talk among themselves.
        deleted: it can still be told apart from one that never was, for those who watched it.
    """

    conversation_id: str
    project_id: str
    role: str
    agent_id: str | None
    archived: bool
    deleted: bool


class Access:
    """The look-ups that WebSocket and REST share. Ids are in canonical form (`schemas.ids.canonical`).

    All raise `Refused`: `not_found` for what is missing and, alike, for what is another's; `unavailable` where
    PostgreSQL is away and nothing is known from before.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", now: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._now = now
        self._known: OrderedDict[tuple[str, ...], _Entry] = OrderedDict()
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._away_until = 0.0

    async def project_role(self, user_id: str, project_id: str) -> str:
        """The caller's role in a project: owner, admin, member or viewer."""

        async def look_up() -> str | None:
            row = await self._pool.fetchrow(_ROLE, user_id, project_id)
            return None if row is None else str(row["role"])

        return await self._remembered(("role", user_id, project_id), look_up)

    async def projects(self, user_id: str) -> list[str]:
        """The projects that this person is a member of."""

        async def look_up() -> list[str]:
            return [str(row["project_id"]) for row in await self._pool.fetch(_PROJECTS, user_id)]

        return list(await self._remembered(("projects", user_id), look_up))

    async def conversation(self, user_id: str, conversation_id: str) -> ConversationAccess:
        """A conversation of a project that the caller is a member of, deleted ones included."""

        async def look_up() -> ConversationAccess | None:
            row = await self._pool.fetchrow(_CONVERSATION, user_id, conversation_id)
            return None if row is None else ConversationAccess(conversation_id=conversation_id, **dict(row))

        return await self._remembered(("conversation", conversation_id, user_id), look_up)

    async def present_conversation(self, user_id: str, conversation_id: str) -> ConversationAccess:
        """One that is not deleted; `not_found` where it is."""
        found = await self.conversation(user_id, conversation_id)
        if found.deleted:
            # Perhaps it was restored a moment ago, through another process.
            self.forget_conversation(user_id, conversation_id)
            found = await self.conversation(user_id, conversation_id)
        if found.deleted:
            raise Refused(ErrorCode.NOT_FOUND)
        return found

    async def agent(self, project_id: str, agent_id: str | UnsetType | None) -> AgentRef | None:
        """The agent that answers, at its present version.

        Args:
            agent_id: an agent of this project; None for nobody; UNSET for the project's default agent.
        """
        if agent_id is UNSET:
            agent_id = await self._default_agent_id(project_id)
        if agent_id is None:
            return None
        wanted: str = agent_id

        async def look_up() -> AgentRef | None:
            row = await self._pool.fetchrow(_AGENT, project_id, wanted)
            if row is None:
                return None
            context = row["context_messages"]
            limits = {} if context is None else {"context_messages": context}
            return AgentRef(agent_id=row["id"], version=row["version"], price=row["price"], **limits)

        return await self._remembered(("agent", project_id, wanted), look_up)

    async def _default_agent_id(self, project_id: str) -> str | None:
        async def look_up() -> tuple[str | None] | None:
            row = await self._pool.fetchrow(_DEFAULT_AGENT, project_id)
            return None if row is None else (row["default_agent_id"],)

        found: tuple[str | None] = await self._remembered(("default agent", project_id), look_up)
        return found[0]

    def forget_conversation(self, user_id: str, conversation_id: str) -> None:
        """Ask again next time: this process has just changed it."""
        self._known.pop(("conversation", conversation_id, user_id), None)

    def changed(self, ids: Iterable[str]) -> None:
        """These people, projects or agents are not as they were: what is known of them is asked for again."""
        for id in ids:
            self._changed[id] = self._now()
            self._changed.move_to_end(id)
        if len(self._changed) > MOST_CHANGES:
            self._changed.clear()
            self._known.clear()

    def _is_believed(self, entry: _Entry) -> bool:
        return all(self._changed.get(id, -1.0) < entry.asked_at for id in entry.about)

    async def _remembered(self, key: tuple[str, ...], look_up: Callable[[], Coroutine[Any, Any, T | None]]) -> T:
        known = self._known.get(key)
        if known is not None and not self._is_believed(known):
            known = None
        if known is None or known.fresh_until <= self._now():
            known = await self._ask(key, known, look_up)
            if not self._is_believed(known):  # it changed while we asked
                known = await self._ask(key, None, look_up)
        if key in self._known:
            self._known.move_to_end(key)
        found: T | None = known.found
        if found is None:
            raise Refused(ErrorCode.NOT_FOUND)
        return found

    async def _ask(
        self, key: tuple[str, ...], known: _Entry | None, look_up: Callable[[], Coroutine[Any, Any, Any]]
    ) -> _Entry:
        asked_at = self._now()
        if asked_at < self._away_until and known is not None and known.found is not None:
            return known
        try:
            found = await within(LOOKUP_TIMEOUT_S, look_up())
            fresh_s = MISSING_FRESH_S if found is None else FRESH_S
            entry = _Entry(found, asked_at, self._now() + fresh_s, (*key[1:], *_projects_of(found)))
        except AWAY as error:
            self._away_until = self._now() + AWAY_RETRY_S
            if known is None or known.found is None or not self._is_believed(known):
                raise Refused(ErrorCode.UNAVAILABLE) from error
            entry = replace(known, fresh_until=self._now() + AWAY_RETRY_S)
        self._known[key] = entry
        while len(self._known) > MOST_ENTRIES:
            self._known.popitem(last=False)
        return entry


def _projects_of(found: Any) -> tuple[str, ...]:
    if isinstance(found, ConversationAccess):
        return (found.project_id,)
    return tuple(found) if isinstance(found, list) else ()
