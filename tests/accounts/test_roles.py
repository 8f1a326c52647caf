"""The matrix of roles, and the rule of conversations that holds to it."""

import pytest

from schemas.roles import MATRIX, Action, Role, may, may_set_role
from tests.rules.talk import ANN, BEN, Talk

ALLOWED = {
    Role.VIEWER: {Action.READ},
    Role.MEMBER: {Action.READ, Action.WRITE, Action.SHARE},
    Role.ADMIN: set(Action) - {Action.MANAGE_OWNERS, Action.DELETE_PROJECT},
    Role.OWNER: set(Action),
}
"""Written out a second time: who changes the matrix has to mean it."""


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_the_matrix_is_what_people_were_told(role: Role, action: Action) -> None:
    """Every role may do exactly what is documented of it."""
    assert (action in ALLOWED[role]) == may(role, action)


def test_a_role_of_tomorrow_may_nothing() -> None:
    """A role that this version does not know allows nothing, rather than everything."""
    assert [action for action in Action if may("emperor", action)] == []


def test_more_of_a_role_is_never_less() -> None:
    """Each role may do all that the one below it may."""
    assert all(MATRIX[lower] < MATRIX[upper] for lower, upper in zip(list(Role), list(Role)[1:], strict=False))


@pytest.mark.parametrize(
    ("actor", "present", "wanted", "allowed"),
    [
        ("owner", "member", "owner", True),
        ("owner", "owner", "member", True),
        ("admin", "member", "admin", True),
        ("admin", "admin", None, True),
        ("admin", None, "viewer", True),
        ("admin", "member", "owner", False),
        ("admin", "owner", "member", False),
        ("admin", "owner", None, False),
        ("admin", None, "owner", False),
        ("member", None, "viewer", False),
        ("viewer", "viewer", "owner", False),
    ],
)
def test_only_owners_make_and_unmake_owners(actor: str, present: str | None, wanted: str | None, allowed: bool) -> None:
    """Admins manage everybody but owners; nobody raises themselves."""
    assert may_set_role(actor, present, wanted) == allowed


@pytest.mark.parametrize(("role", "code"), [("member", "forbidden"), ("admin", None), ("owner", None)])
def test_members_end_only_what_they_began(role: str, code: str | None) -> None:
    """Another's conversation is archived, deleted and restored by admins and owners; a member renames it."""
    talk = Talk()

    codes = [
        talk.update(archived=True, user_id=BEN, role=role).code,
        talk.delete(user_id=BEN, role=role).code,
        talk.restore(user_id=BEN, role=role).code,
    ]

    assert [code] * 3 == codes
    assert Talk().update(title=None, user_id=BEN, role=role).code is None
    assert Talk().delete(user_id=ANN, role="member").code is None
