"""Changing a project, its members or its agents: one at a time, by those who may, and told to everybody else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge import outbox
from edge.errors import Forbidden, Refused
from edge.rest import answers
from edge.rest.services import Services
from schemas.frames import ErrorCode
from schemas.roles import Action, may

if TYPE_CHECKING:
    from edge.rest.services import Connection

_HOLD: Final = """
SELECT p.name, m.role FROM projects p JOIN project_members m ON m.project_id = p.id AND m.user_id = $2
WHERE p.id = $1 FOR UPDATE OF p
"""
PROJECTS: Final = """
SELECT p.id::text, p.name, m.role, p.default_agent_id::text, p.created_at
FROM projects p JOIN project_members m ON m.project_id = p.id AND m.user_id = $1
WHERE ($2::uuid IS NULL OR p.id = $2) AND ($3::timestamptz IS NULL OR (p.created_at, p.id) > ($3, $4::uuid))
ORDER BY p.created_at, p.id LIMIT $5
"""
"""Those of a member: all of them, or one; after a place in the list, or from its beginning."""
_ENTER: Final = """
INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING role
"""
_ROLE: Final = "SELECT role FROM project_members WHERE project_id = $1 AND user_id = $2"


async def read_project(connection: "Connection", user_id: str, project_id: str) -> answers.Project:
    """A project as a member sees it; `not_found` for anybody else."""
    row = await connection.fetchrow(PROJECTS, user_id, project_id, None, None, 1)
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return answers.Project(**row)


async def enter(connection: "Connection", project_id: str, user_id: str, role: str) -> bool:
    """Make somebody a member, in a transaction that holds the project; False where they are one already."""
    return await connection.fetchval(_ENTER, project_id, user_id, role) is not None


@dataclass(frozen=True)
class Held:
    """A project that nobody else changes until the transaction ends.

    Attributes:
        role: the caller's.
        action: what the project is held for.
    """

    connection: "Connection"
    project_id: str
    user_id: str
    name: str
    role: str
    action: Action

    def check(self, allowed: bool) -> None:
        """Raises `Forbidden` where it is not."""
        if not allowed:
            raise Forbidden(self.project_id, self.action)

    async def role_of(self, user_id: str) -> str | None:
        """The present role of somebody; None where they are no member."""
        role: str | None = await self.connection.fetchval(_ROLE, self.project_id, user_id)
        return role


@asynccontextmanager
async def changing(
    services: Services, user_id: str, project_id: str, action: Action, *, tell: bool = True
) -> AsyncIterator[Held]:
    """Hold a project for a change that this action allows, in one transaction with what is told of it.

    The caller's role is read under the lock, so nobody acts on a role that was just taken away.

    Args:
        tell: whether the project itself, as others know it, changes.

    Raises:
        Refused: `not_found` where the caller is no member, `forbidden` where the role does not allow it.
    """
    async with services.database() as connection, connection.transaction():
        row = await connection.fetchrow(_HOLD, project_id, user_id)
        if row is None:
            raise Refused(ErrorCode.NOT_FOUND)
        held = Held(connection, project_id, user_id, row["name"], row["role"], action)
        held.check(may(held.role, action))
        yield held
        changed = await outbox.project_changed(connection, project_id) if tell else []
    # Others hear of it from the log; here it is so at once.
    await services.changed(changed)
