"""Who may do what in a project: one table, held to by REST, the WebSocket and the rules of conversations alike."""

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Final


class Role(StrEnum):
    """What a person is in a project, from least to most. A project has one owner at least."""

    VIEWER = auto()
    MEMBER = auto()
    ADMIN = auto()
    OWNER = auto()


class Action(StrEnum):
    """What can be done in a project.

    Attributes:
        READ: see the project, its members, agents, conversations and messages, and search them.
        WRITE: say something, start and rename conversations, stop answers; archive and delete one's own conversations.
        SHARE: make a link with which anybody reads a conversation, and take it back.
        MANAGE_CONVERSATIONS: archive, delete and restore conversations that others have started.
        MANAGE_AGENTS: create, change and delete agents, their secrets included.
        MANAGE_WEBHOOKS: see, create, change and delete webhooks, their secrets included.
        MANAGE_MEMBERS: invite people, change roles below owner, and send people away.
        MANAGE_MONEY: put credit in, and say what agents cost.
        READ_AUDIT: see who did what.
        RENAME_PROJECT: its name, and the agent that answers where nobody chose one.
        MANAGE_OWNERS: make owners, and take ownership away; so a project is also handed over.
        DELETE_PROJECT: with everything in it.
    """

    READ = auto()
    WRITE = auto()
    SHARE = auto()
    MANAGE_CONVERSATIONS = auto()
    MANAGE_AGENTS = auto()
    MANAGE_WEBHOOKS = auto()
    MANAGE_MEMBERS = auto()
    MANAGE_MONEY = auto()
    READ_AUDIT = auto()
    RENAME_PROJECT = auto()
    MANAGE_OWNERS = auto()
    DELETE_PROJECT = auto()


_VIEWER: Final = frozenset({Action.READ})
_MEMBER: Final = _VIEWER | {Action.WRITE, Action.SHARE}
_ADMIN: Final = _MEMBER | {
    Action.MANAGE_CONVERSATIONS,
    Action.MANAGE_AGENTS,
    Action.MANAGE_WEBHOOKS,
    Action.MANAGE_MEMBERS,
    Action.MANAGE_MONEY,
    Action.READ_AUDIT,
    Action.RENAME_PROJECT,
}
_OWNER: Final = _ADMIN | {Action.MANAGE_OWNERS, Action.DELETE_PROJECT}

MATRIX: Final[Mapping[str, frozenset[Action]]] = {
    Role.VIEWER: _VIEWER,
    Role.MEMBER: _MEMBER,
    Role.ADMIN: _ADMIN,
    Role.OWNER: _OWNER,
}


def may(role: str, action: Action) -> bool:
    """Whether this role allows the action. A role that nobody knows allows nothing."""
    return action in MATRIX.get(role, ())


def may_end(role: str, *, own: bool) -> bool:
    """Whether a conversation may be archived, deleted and restored, one's own or another's."""
    return may(role, Action.WRITE if own else Action.MANAGE_CONVERSATIONS)


def may_set_role(actor: str, present: str | None, wanted: str | None) -> bool:
    """Whether `actor` may give somebody else another role.

    Args:
        present: what that person is; None where no member.
        wanted: what that person shall be; None to send them away.
    """
    owners = Role.OWNER in (present, wanted)
    return may(actor, Action.MANAGE_OWNERS if owners else Action.MANAGE_MEMBERS)
