"""Who is in a project: members come, change and go over REST, and there is an owner at every moment."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import pytest

from tests.stack.rest_api import Answer, Api, Someone


class Project:
    """Ada's project, and how others get into it."""

    def __init__(self, api: Api, ada: Someone, id: str) -> None:
        self.api, self.ada, self.id = api, ada, id
        self.path = f"/v1/projects/{id}"

    async def add(self, role: str) -> Someone:
        """Somebody who is a member now."""
        somebody = await self.api.sign_up()
        added = await self.ada.call("POST", f"{self.path}/members", {"email": somebody.email, "role": role})
        assert (added.status, added.json["status"], added.json["role"]) == (201, "active", role)
        return somebody

    async def set_role(self, caller: Someone, of: Someone, role: str) -> Answer:
        return await caller.call("PATCH", f"{self.path}/members/{of.id}", {"role": role})

    async def remove(self, caller: Someone, of: Someone) -> Answer:
        return await caller.call("DELETE", f"{self.path}/members/{of.id}")

    async def roles(self) -> dict[str, str]:
        listed = (await self.ada.call("GET", f"{self.path}/members")).json["data"]
        return {member["user_id"]: member["role"] for member in listed}


@pytest.fixture
async def project(api: Api) -> Project:
    ada = await api.sign_up()
    return Project(api, ada, await ada.project_id())


@pytest.fixture
def invited(api: Api) -> Any:
    """The token of the newest invitation, from the mail that development prints to the log."""

    def token() -> str:
        # The address stands in no log, so it is the newest of all.
        found = re.findall(r"/invitations#token=([\w-]+)", api.running.output.read_text())
        assert found, "an invitation was mailed"
        return str(found[-1])

    return token


async def test_who_has_an_account_is_a_member_at_once(project: Project) -> None:
    """They see the project in their list, with the role that they were given; adding them again is a conflict."""
    ben = await project.add("viewer")
    again = await project.ada.call("POST", f"{project.path}/members", {"email": ben.email.upper(), "role": "admin"})

    seen = (await ben.call("GET", project.path)).json
    assert (seen["id"], seen["role"]) == (project.id, "viewer")
    assert (again.status, again.fields) == (409, {"email"})
    assert (await project.roles())[ben.id] == "viewer"


async def test_a_role_that_is_none_is_refused(project: Project) -> None:
    """The answer names the field."""
    refused = await project.ada.call("POST", f"{project.path}/members", {"email": "x@example.org", "role": "emperor"})

    assert (refused.status, refused.fields) == (422, {"role"})


async def test_an_invitation_is_accepted_once(project: Project, invited: Any) -> None:
    """Who has no account is mailed a link. Whoever follows it is a member; it works once, and nobody else sees it."""
    email = f"{uuid4().hex}@example.org"
    asked = await project.ada.call("POST", f"{project.path}/members", {"email": email, "role": "member"})
    token = invited()
    listed = (await project.ada.call("GET", f"{project.path}/invitations")).json["data"]
    ben, eve = await project.api.sign_up(email=email), await project.api.sign_up()
    first = await ben.call("POST", "/v1/invitations/accept", {"token": token})
    second = await eve.call("POST", "/v1/invitations/accept", {"token": token})

    assert (asked.status, asked.json["status"]) == (201, "invited")
    assert [one["invitation_id"] for one in listed] == [asked.json["invitation_id"]]
    assert token not in asked.text + str(listed)
    assert (first.status, first.json["id"], first.json["role"]) == (200, project.id, "member")
    assert (second.status, second.fields) == (422, {"token"})
    assert (await eve.call("GET", project.path)).status == 404
    assert (await project.ada.call("GET", f"{project.path}/invitations")).json["data"] == []


async def test_inviting_again_makes_the_link_before_useless(project: Project, invited: Any) -> None:
    """The newest mail counts, with its role."""
    email, ben = f"{uuid4().hex}@example.org", await project.api.sign_up()
    tokens = []
    for role in ("admin", "viewer"):
        await project.ada.call("POST", f"{project.path}/members", {"email": email, "role": role})
        tokens.append(invited())
    old, new = [await ben.call("POST", "/v1/invitations/accept", {"token": token}) for token in tokens]

    assert (old.status, new.json["role"]) == (422, "viewer")


async def test_what_was_withdrawn_or_has_ended_is_no_invitation(project: Project, invited: Any, database: Any) -> None:
    """Neither withdrawn nor a week old does a link work."""
    ben, answers = await project.api.sign_up(), []
    for end in ("withdraw", "wait"):
        email = f"{uuid4().hex}@example.org"
        made = await project.ada.call("POST", f"{project.path}/members", {"email": email, "role": "member"})
        id, token = made.json["invitation_id"], invited()
        if end == "withdraw":
            gone = await project.ada.call("DELETE", f"{project.path}/invitations/{id}")
            assert gone.status == 204
        else:
            await database.execute("UPDATE invitations SET expires_at = now() WHERE id = $1", id)
        answers.append(await ben.call("POST", "/v1/invitations/accept", {"token": token}))

    assert [answer.status for answer in answers] == [422, 422]
    assert (await ben.call("GET", project.path)).status == 404


async def test_who_may_not_invite_any_longer_has_invited_nobody(project: Project, invited: Any) -> None:
    """An admin's open invitations go with the role, so nobody comes back by one of their own."""
    ben, email = await project.add("admin"), f"{uuid4().hex}@example.org"
    await ben.call("POST", f"{project.path}/members", {"email": email, "role": "admin"})
    token = invited()
    await project.remove(project.ada, ben)

    assert (await ben.call("POST", "/v1/invitations/accept", {"token": token})).status == 422


@pytest.mark.parametrize("role", ["member", "viewer"])
async def test_members_manage_nobody(project: Project, role: str) -> None:
    """Neither invite nor raise nor remove, themselves included; and a stranger sees nothing of it."""
    ben, cleo, eve = await project.add(role), await project.add("member"), await project.api.sign_up()
    before = await project.roles()

    def attempts(caller: Someone) -> list[Any]:
        return [
            caller.call("POST", f"{project.path}/members", {"email": "x@example.org", "role": "viewer"}),
            caller.call("GET", f"{project.path}/invitations"),
            project.set_role(caller, ben, "owner"),
            project.set_role(caller, cleo, "viewer"),
            project.remove(caller, cleo),
            caller.call("POST", f"{project.path}/transfer", {"user_id": ben.id}),
            caller.call("PATCH", project.path, {"name": "Mine"}),
            caller.call("DELETE", project.path, confirm="Personal"),
            caller.call("POST", f"{project.path}/agents", {"name": "Mine", "config": {"kind": "scripted"}}),
        ]

    assert {answer.status for answer in await asyncio.gather(*attempts(ben))} == {403}
    assert {answer.status for answer in await asyncio.gather(*attempts(eve))} == {404}
    assert await project.roles() == before


async def test_admins_leave_owners_alone(project: Project) -> None:
    """An admin manages everybody below owner, and makes nobody an owner."""
    ben, cleo = await project.add("admin"), await project.add("member")
    refused = [
        await project.set_role(ben, cleo, "owner"),
        await project.set_role(ben, ben, "owner"),
        await project.set_role(ben, project.ada, "viewer"),
        await project.remove(ben, project.ada),
        await ben.call("POST", f"{project.path}/members", {"email": "x@example.org", "role": "owner"}),
        await ben.call("POST", f"{project.path}/transfer", {"user_id": ben.id}),
        await ben.call("DELETE", project.path, confirm="Personal"),
    ]

    assert [answer.status for answer in refused] == [403] * 7
    assert (await project.set_role(ben, cleo, "admin")).json["role"] == "admin"
    assert (await project.remove(ben, cleo)).status == 204


async def test_a_refusal_is_written_down(project: Project, database: Any) -> None:
    """Who tried what their role does not allow is in the audit log, though nothing was changed."""
    ben = await project.add("member")
    await project.set_role(ben, ben, "owner")

    row = await database.fetchrow("SELECT * FROM audit_log WHERE event = 'authz_fail' AND actor_id = $1", ben.id)
    assert (str(row["project_id"]), row["result"]) == (project.id, "failure")


async def test_whoever_left_is_out_at_once(project: Project) -> None:
    """Removed or gone by themselves, the very next request answers as to a stranger."""
    ben, cleo = await project.add("member"), await project.add("admin")
    for someone in (ben, cleo):
        assert (await someone.call("GET", f"{project.path}/conversations")).status == 200

    assert (await project.remove(project.ada, ben)).status == 204
    assert (await ben.call("GET", f"{project.path}/conversations")).status == 404
    assert (await project.remove(cleo, cleo)).status == 204
    assert (await cleo.call("GET", f"{project.path}/conversations")).status == 404
    assert set(await project.roles()) == {project.ada.id}


async def test_the_last_owner_stays(project: Project) -> None:
    """Neither leaves nor is demoted; with a second owner both work."""
    ada, ben = project.ada, await project.add("member")
    stuck = [await project.remove(ada, ada), await project.set_role(ada, ada, "admin")]
    await project.set_role(ada, ben, "owner")

    assert [answer.status for answer in stuck] == [409, 409]
    assert (await project.set_role(ada, ada, "viewer")).status == 200
    assert (await project.roles())[ben.id] == "owner"


async def test_two_owners_demote_each_other_at_the_same_moment(project: Project) -> None:
    """Whatever the order, one of them stays: at no moment is there no owner."""
    owners = [project.ada, await project.add("owner")]
    for round in range(5):
        ada, ben = owners
        of = [ada, ben] if round % 2 else [ben, ada]
        answers = await asyncio.gather(*(project.set_role(*pair, "admin") for pair in zip(owners, of, strict=True)))
        left = [user for user, role in (await project.roles()).items() if role == "owner"]
        assert len(left) == 1, answers
        assert sorted(answer.status for answer in answers)[0] == 200
        assert sorted(answer.status for answer in answers)[1] in (403, 409)
        keeper = next(owner for owner in owners if owner.id == left[0])
        other = next(owner for owner in owners if owner is not keeper)
        assert (await project.set_role(keeper, other, "owner")).status == 200


async def test_a_project_is_handed_over(project: Project) -> None:
    """The new owner owns it, the old one is an admin; only to a member, and not to oneself."""
    ada, ben, eve = project.ada, await project.add("member"), await project.api.sign_up()
    refused = [
        await ada.call("POST", f"{project.path}/transfer", {"user_id": eve.id}),
        await ada.call("POST", f"{project.path}/transfer", {"user_id": ada.id}),
    ]
    given = await ada.call("POST", f"{project.path}/transfer", {"user_id": ben.id})

    assert [answer.status for answer in refused] == [404, 422]
    assert (given.status, given.json["user_id"], given.json["role"]) == (200, ben.id, "owner")
    assert await project.roles() == {ada.id: "admin", ben.id: "owner"}


async def test_a_project_is_deleted_only_by_its_name(project: Project, written: Any) -> None:
    """Without its name nothing is deleted; with it everything of it answers 404 to everybody, and an owner can have it
    back as it was."""
    ada, ben = project.ada, await project.add("member")
    here = f"/v1/conversations/{await written.conversation(project.id, ada.id)}"
    name = (await ada.call("GET", project.path)).json["name"]
    agent = (await ada.call("GET", f"{project.path}/agents")).json["data"][0]["id"]
    refused = [await ada.call("DELETE", project.path), await ada.call("DELETE", project.path, confirm="perhaps")]
    assert [(answer.status, answer.fields) for answer in refused] == [(422, {"confirm"})] * 2
    assert (await ben.call("GET", here)).status == 200

    assert (await ada.call("DELETE", project.path, confirm=name)).status == 204
    paths = [project.path, f"{project.path}/members", f"{project.path}/conversations", here, f"/v1/agents/{agent}"]
    gone = [(await someone.call("GET", path)).status for someone in (ada, ben) for path in paths]
    assert gone == [404] * 10
    assert [p["id"] for p in (await ada.call("GET", "/v1/projects", deleted="true")).json["data"]] == [project.id]
    assert (await ben.call("GET", "/v1/projects", deleted="true")).json["data"] == []
    assert (await ben.call("POST", f"{project.path}/restore")).status == 403

    back = await ada.call("POST", f"{project.path}/restore")
    assert (back.status, back.json["name"], back.json["role"]) == (200, name, "owner")
    assert await project.roles() == {ada.id: "owner", ben.id: "member"}
    assert (await ben.call("GET", here)).status == 200


async def test_the_default_agent_is_one_of_the_project(project: Project) -> None:
    """It can be chosen, and taken away; another project's agent is none."""
    ada, eve = project.ada, await project.api.sign_up()
    agents = (await ada.call("GET", f"{project.path}/agents")).json["data"]
    foreign = (await eve.call("GET", f"/v1/projects/{await eve.project_id()}/agents")).json["data"][0]["id"]
    chosen = await ada.call("PATCH", project.path, {"default_agent_id": agents[1]["id"]})
    refused = await ada.call("PATCH", project.path, {"default_agent_id": foreign})
    renamed = await ada.call("PATCH", project.path, {"name": "Ours"})
    nobody = await ada.call("PATCH", project.path, {"default_agent_id": None})

    assert chosen.json["default_agent_id"] == agents[1]["id"]
    assert (refused.status, refused.fields) == (422, {"default_agent_id"})
    assert (renamed.json["name"], renamed.json["default_agent_id"]) == ("Ours", agents[1]["id"])
    assert nobody.json["default_agent_id"] is None
