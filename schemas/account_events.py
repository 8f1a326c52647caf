"""What others are told of accounts: who is in a project, and which agents there are.

Each event is the whole state of the thing that its key names, so the topics are compacted: whoever reads one from the
beginning knows all there is, and whoever missed some misses nothing. They hold ids, roles, counts and times: no name,
no address, no configuration and no secret.

`revision` counts the changes of a thing. An event may come twice, and after one that is newer: readers ignore what is
not newer than what they have.
"""

from datetime import datetime
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta, Struct

from schemas.ids import Uuid

Revision = Annotated[int, Meta(ge=1)]


class Member(Struct, frozen=True, kw_only=True):
    """Somebody in a project; `role` as in `schemas.roles`."""

    user_id: Uuid
    role: str


class ProjectChanged(Struct, frozen=True, kw_only=True):
    """A project is now like this; its key is its id.

    Attributes:
        members: nobody where the project is deleted.
        default_agent_id: who answers in new conversations where nobody says otherwise.
        deleted_at: since when it waits to be restored or to end for good.
    """

    type: ClassVar[str] = "chorus.project.changed.v1"

    project_id: Uuid
    revision: Revision
    members: list[Member]
    default_agent_id: Uuid | None = None
    deleted_at: datetime | None = None


class AgentChanged(Struct, frozen=True, kw_only=True):
    """An agent is now like this; its key is its id.

    Attributes:
        version: of the configuration; runs name the one that they use.
        kind: `openai` or `scripted`; others may come.
    """

    type: ClassVar[str] = "chorus.agent.changed.v1"

    agent_id: Uuid
    project_id: Uuid
    revision: Revision
    version: int
    kind: str
    deleted: bool = False


AccountEvent: TypeAlias = ProjectChanged
AgentEvent: TypeAlias = AgentChanged
