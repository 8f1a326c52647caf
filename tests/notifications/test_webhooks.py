"""Webhooks: what is stored is delivered, signed, to those who want it, over days if it must be, and nowhere inside."""

import asyncio
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from infra import webhooks
from infra.secrets import Secrets
from infra.settings import SealingSettings
from infra.webhooks import WebhookSettings
from schemas.notifications import Kind
from streams.deliverer import Deliverer
from tests.notifications.conftest import Told
from tests.notifications.test_api import notify
from tests.running import DEADLINE_S, Running, Stack
from tests.stack.rest_api import Api, Someone, opened, start_api


@dataclass
class Receiver:
    """A server of somebody's that takes webhooks, and answers as it is told."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """The next ones; then 204."""
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    hangs: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.came.append(({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        self.news.set()
        if self.hangs:
            await asyncio.sleep(DEADLINE_S)
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"Location": f"{self.url}/elsewhere"} if status == 302 else {})

    async def has(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.came) < count:
                self.news.clear()
                await self.news.wait()

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.came]


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether one of the signatures is of this secret, checked as a receiver would."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b64decode(secret.removeprefix("whsec_")), signed, "sha256").digest()
    return f"v1,{b64encode(digest).decode()}" in headers["webhook-signature"].split(" ")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def lenient_process(stack: Stack) -> Iterator[tuple[Running, str]]:
    """A REST process that takes addresses of this machine."""
    running, url = start_api(stack, CHORUS_WEBHOOK_PRIVATE_ADDRESSES="1")
    yield running, url
    running.process.terminate()
    running.process.wait()


@pytest.fixture
async def lenient(lenient_process: tuple[Running, str], pool: Any) -> AsyncIterator[Api]:
    async with opened(*lenient_process) as found:
        yield found
    await pool.execute("DELETE FROM webhooks")


@dataclass
class Project:
    """Ada's project, in which things happen, and its webhooks."""

    pool: Any
    ada: Someone
    id: str
    stack: Stack

    async def hook(self, url: str, **fields: Any) -> dict[str, Any]:
        made = await self.ada.call("POST", f"/v1/projects/{self.id}/webhooks", {"url": url, **fields})
        assert made.status == 201, made
        found: dict[str, Any] = made.json
        return found

    async def call(self, method: str, hook: dict[str, Any], path: str = "", body: object = None) -> Any:
        return await self.ada.call(method, f"/v1/projects/{self.id}/webhooks/{hook['id']}{path}", body)

    async def deliveries(self, hook: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call("GET", hook, "/deliveries")).json["data"]
        return found

    async def state(self, hook: dict[str, Any]) -> dict[str, Any]:
        listed = (await self.ada.call("GET", f"/v1/projects/{self.id}/webhooks")).json["data"]
        return next(one for one in listed if one["id"] == hook["id"])

    async def settled(self, hook: dict[str, Any], status: str, attempts: int = 1) -> dict[str, Any]:
        """Wait until the newest delivery is so."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                newest = (await self.deliveries(hook))[0]
                if newest["status"] == status and len(newest["attempts"]) == attempts:
                    return newest
                await asyncio.sleep(0.05)

    async def due(self, hook: dict[str, Any]) -> None:
        """Time goes on to the next attempt."""
        await self.pool.execute(
            "UPDATE webhook_deliveries SET next_at = now() WHERE webhook_id = $1 AND next_at IS NOT NULL", hook["id"]
        )

    @asynccontextmanager
    async def delivering(self, *, private: bool = True) -> AsyncIterator["asyncio.Task[None]"]:
        secrets = Secrets(SealingSettings.from_env(self.stack.env))
        deliverer = Deliverer(self.pool, secrets, WebhookSettings(private_addresses=private), lambda: 0.5)
        task = asyncio.create_task(deliverer.run())
        try:
            yield task
        finally:
            task.cancel()


@pytest.fixture
async def project(lenient: Api, pool: Any, stack: Stack) -> Project:
    ada = await lenient.sign_up()
    return Project(pool, ada, await ada.project_id(), stack)


async def test_what_happens_is_delivered_and_signed(project: Project, receiver: Receiver) -> None:
    """With what it is about and an id, under a signature that its secret verifies; the log says so."""
    hook = await project.hook(f"{receiver.url}/in?x=1")
    [notification_id] = await notify(project.pool, project.ada)

    async with project.delivering():
        await receiver.has(1)
        delivery = await project.settled(hook, "delivered")

    [(headers, body)] = receiver.came
    sent = json.loads(body)
    assert verified(hook["secret"], headers, body)
    assert (headers["content-type"], headers["webhook-id"]) == ("application/json", delivery["id"])
    assert sent["type"] == delivery["type"] == "notification.budget"
    assert sent["data"] == {"n": 0, "id": notification_id, "user_id": project.ada.id, "project_id": project.id}
    assert sent["timestamp"].endswith("Z")
    assert (delivery["attempts"][0]["status"], delivery["next_at"]) == (204, None)
    assert "secret" not in await project.state(hook)


async def test_only_what_is_wanted_is_sent(project: Project, receiver: Receiver) -> None:
    """Kinds that the webhook is for, of people who did not say otherwise; what is only kept from a screen is sent."""
    hook = await project.hook(receiver.url, kinds=["mention", "answer"])
    said = {"answer": {"webhook": False}, "mention": {"app": False}}
    await project.ada.call("PUT", "/v1/notifications/preferences", said)
    for kind in (Kind.BUDGET, Kind.ANSWER, Kind.MENTION):
        await notify(project.pool, project.ada, kind=kind)

    assert [one["type"] for one in await project.deliveries(hook)] == ["notification.mention"]


async def test_a_log_that_is_read_again_sends_nothing_new(told: Told, lenient: Api, pool: Any) -> None:
    """A delivery follows from a notification that is new, and from nothing else."""
    await pool.execute(
        "INSERT INTO webhooks (id, project_id, url, kinds, secret) VALUES (gen_random_uuid(), $1, 'x', '{}', '')",
        told.ada.project_id,
    )
    told.write(told.said("@Bob"))
    for _ in range(2):
        await (await told.sink()).handle_batch(told.log)

    assert await pool.fetchval("SELECT count(*) FROM webhook_deliveries") == 1


async def test_what_fails_is_sent_again_as_the_same(project: Project, receiver: Receiver) -> None:
    """After a pause, with the same id and another timestamp; a success clears the record."""
    hook = await project.hook(receiver.url)
    receiver.answers = [500]
    await notify(project.pool, project.ada)
    async with project.delivering():
        first = await project.settled(hook, "waiting")
        assert (await project.state(hook))["failing_since"] is not None
        assert first["next_at"] > first["created_at"]
        await project.due(hook)
        second = await project.settled(hook, "delivered", 2)

    assert [a["status"] for a in second["attempts"]] == [500, 204]
    assert len(set(receiver.ids())) == 1
    assert (await project.state(hook))["failing_since"] is None


async def test_gone_switches_it_off(project: Project, receiver: Receiver) -> None:
    """With what waited. Nothing is sent, and no test can be, until somebody switches it on again."""
    hook = await project.hook(receiver.url)
    receiver.answers = [410]
    await notify(project.pool, project.ada, 3)
    async with project.delivering():
        await project.settled(hook, "failed", 0)
        assert [one["status"] for one in await project.deliveries(hook)] == ["failed"] * 3
        assert "410" in (await project.state(hook))["disabled_why"]
        await notify(project.pool, project.ada)
        assert (await project.call("POST", hook, "/test")).status == 409
        on = await project.call("PATCH", hook, body={"enabled": True})
        assert (on.json["disabled_at"], on.json["disabled_why"], on.json["failing_since"]) == (None, None, None)
        tested = await project.call("POST", hook, "/test")
        assert tested.status == 202
        delivery = await project.settled(hook, "delivered")

    assert (delivery["id"], delivery["type"]) == (tested.json["delivery_id"], "webhook.test")
    assert len(receiver.came) == 2


async def test_days_without_success_switch_it_off(project: Project, receiver: Receiver) -> None:
    """At the next failure."""
    hook = await project.hook(receiver.url)
    receiver.answers = [500]
    await project.pool.execute(
        "UPDATE webhooks SET failing_since = now() - $2::interval WHERE id = $1", hook["id"], timedelta(days=5)
    )
    await notify(project.pool, project.ada)
    async with project.delivering():
        await project.settled(hook, "failed")

    assert (await project.state(hook))["disabled_at"] is not None


async def test_a_redirect_is_not_followed(project: Project, receiver: Receiver) -> None:
    """It would lead where nobody has judged the address."""
    hook = await project.hook(receiver.url)
    receiver.answers = [302]
    await notify(project.pool, project.ada)
    async with project.delivering():
        delivery = await project.settled(hook, "waiting")

    assert [a["status"] for a in delivery["attempts"]] == [302]
    assert len(receiver.came) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_nobody_inside_is_called(project: Project, receiver: Receiver, host: str) -> None:
    """Whatever REST let in, the address is judged when it is connected to."""
    hook = await project.hook(receiver.url.replace("127.0.0.1", host))
    await notify(project.pool, project.ada)
    async with project.delivering(private=False):
        delivery = await project.settled(hook, "waiting")

    [attempt] = delivery["attempts"]
    assert (attempt["status"], attempt["error"]) == (None, "its address is not public")
    assert receiver.came == []


async def test_a_process_that_dies_forgets_nothing(
    project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the call and before it noted so: it is sent again, as the same, once the lease is over."""
    hook = await project.hook(receiver.url)
    await notify(project.pool, project.ada)

    async def dies(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(webhooks, "note", dies)
        async with project.delivering() as task:
            with pytest.raises(ExceptionGroup):
                await task
    assert [one["status"] for one in await project.deliveries(hook)] == ["waiting"]
    async with project.delivering():
        await project.due(hook)
        await project.settled(hook, "delivered")

    assert len(receiver.came) == 2
    assert len(set(receiver.ids())) == 1


async def test_while_a_secret_is_replaced_either_verifies(project: Project, receiver: Receiver) -> None:
    """For a day; then the new one alone."""
    hook = await project.hook(receiver.url)
    rotated = (await project.call("POST", hook, "/secret")).json
    assert rotated["secret"] != hook["secret"]
    async with project.delivering():
        await notify(project.pool, project.ada)
        await receiver.has(1)
        assert all(verified(one["secret"], *receiver.came[0]) for one in (hook, rotated))
        await project.pool.execute("UPDATE webhooks SET secret_before_until = now() WHERE id = $1", hook["id"])
        await notify(project.pool, project.ada)
        await receiver.has(2)

    assert verified(rotated["secret"], *receiver.came[1])
    assert not verified(hook["secret"], *receiver.came[1])


async def test_one_that_hangs_keeps_nobody_waiting(project: Project, receiver: Receiver) -> None:
    """Others are delivered to meanwhile; of the one that hangs, one at a time is under way."""
    receiver.hangs = True
    await project.hook(receiver.url)
    async with receiving() as quick:
        other = await project.hook(quick.url)
        await notify(project.pool, project.ada, 5)
        async with project.delivering():
            await quick.has(5)
            await project.settled(other, "delivered")

    assert len(receiver.came) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "https://127.0.0.1/hook",
        "https://10.0.0.1",
        "https://localhost/hook",
        "https://[::1]/",
        "https://me:secret@example.org/",
        "https://example.org/#x",
        "ftp://example.org",
        "https://",
        "hook",
    ],
)
async def test_addresses_that_are_never_called_are_refused(api: Api, url: str) -> None:
    """While there is somebody to tell."""
    ada = await api.sign_up()

    refused = await ada.call("POST", f"/v1/projects/{await ada.project_id()}/webhooks", {"url": url})

    assert (refused.status, refused.fields) == (422, {"url"})


async def test_owners_and_admins_have_webhooks(project: Project, lenient: Api, receiver: Receiver) -> None:
    """Members see none of it; the twenty-first is refused; a deleted one is gone with its deliveries."""
    bob = await lenient.sign_up()
    members = f"/v1/projects/{project.id}/members"
    assert (await project.ada.call("POST", members, {"email": bob.email, "role": "member"})).status == 201
    hook = await project.hook(receiver.url)
    path = f"/v1/projects/{project.id}/webhooks"
    for method, under, body in (
        ("GET", "", None),
        ("POST", "", {"url": receiver.url}),
        ("PATCH", f"/{hook['id']}", {}),
        ("DELETE", f"/{hook['id']}", None),
        ("POST", f"/{hook['id']}/secret", None),
        ("POST", f"/{hook['id']}/test", None),
        ("GET", f"/{hook['id']}/deliveries", None),
    ):
        assert (await bob.call(method, path + under, body)).status == 403, (method, under)
    for _ in range(19):
        await project.hook(receiver.url)
    assert (await project.ada.call("POST", path, {"url": receiver.url})).status == 409
    await notify(project.pool, project.ada)
    off = await project.call("PATCH", hook, body={"enabled": False, "kinds": ["mention"]})
    assert (off.json["disabled_why"], off.json["kinds"], off.json["url"]) == ("by hand", ["mention"], hook["url"])

    assert (await project.call("DELETE", hook)).status == 204
    assert (await project.call("DELETE", hook)).status == 404
    assert (await project.call("GET", hook, "/deliveries")).status == 404
    left = "SELECT count(*) FROM webhook_deliveries WHERE webhook_id = $1"
    assert await project.pool.fetchval(left, hook["id"]) == 0
