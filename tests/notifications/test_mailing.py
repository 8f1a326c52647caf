"""Notifications by mail: to those who want it and have not read it, once each, from a server that may be away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from infra import notifications
from infra.mail import MailSettings
from infra.stack.ports import free_port
from streams import mailer
from streams.mailer import Mailer
from tests.accounts.post import post_office
from tests.notifications.conftest import Told
from tests.running import DEADLINE_S


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailer, "LOOK_S", 0.02)


@asynccontextmanager
async def mailing(told: Told, port: int) -> AsyncIterator["asyncio.Task[None]"]:
    settings = MailSettings(host="127.0.0.1", port=port, sender="Chorus <chorus@example.org>")
    task = asyncio.create_task(Mailer(told.pool, settings, "https://chorus.example").run())
    try:
        yield task
    finally:
        task.cancel()


async def mentioned(told: Told, *, wants: bool = True, proven: bool = True) -> str:
    """Bob is mentioned, five minutes ago; his address."""
    await told.pool.execute(
        "INSERT INTO notification_preferences VALUES ($1, 'mention', true, true, $2)",
        told.bob.user_id, wants,
    )  # fmt: skip
    await told.pool.execute(
        "UPDATE users SET email_verified_at = CASE WHEN $2 THEN now() END WHERE id = $1", told.bob.user_id, proven
    )
    await (await told.sink()).handle_batch([told.write(told.said("@Bob"))])
    await due(told)
    return f"{told.bob.user_id}@example.org"


async def due(told: Told) -> None:
    """Time goes on to the next try."""
    await told.pool.execute(
        "UPDATE notifications SET mail_at = now() WHERE user_id = $1 AND mail_at IS NOT NULL", told.bob.user_id
    )


async def settled(told: Told, tries: int) -> Any:
    """Wait until it was tried so often; when it is tried next."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            row = await told.pool.fetchrow(
                "SELECT mail_at, mail_tries FROM notifications WHERE user_id = $1", told.bob.user_id
            )
            if row["mail_tries"] == tries:
                return row["mail_at"]
            await asyncio.sleep(0.02)


async def test_what_is_not_read_is_mailed_once(told: Told) -> None:
    """After five minutes, with a link and nothing that anybody wrote."""
    sink = await told.sink()
    address = await mentioned(told)
    await told.pool.execute(
        "UPDATE notifications SET mail_at = created_at + interval '5 min' WHERE user_id = $1", told.bob.user_id
    )
    async with post_office() as (post, port), mailing(told, port):
        await asyncio.sleep(0.2)
        assert post.mails == []
        await due(told)
        text = await post.to(address)
        assert await settled(told, 1) is None
        await sink.handle_batch(told.log)
        await asyncio.sleep(0.2)
    [mail] = post.mails
    [row] = await told.rows()
    assert "https://chorus.example" in text
    assert mail["Message-ID"] == f"<{row['id']}@example.org>"


@pytest.mark.parametrize("case", ["does not want it", "has not proven the address", "has read it", "has left"])
async def test_who_needs_no_mail_gets_none(told: Told, case: str) -> None:
    """Mail goes to members who want it, at an address that is theirs, of what they have not read."""
    await mentioned(told, wants=case != "does not want it", proven=case != "has not proven the address")
    [row] = await told.rows()
    if case == "has read it":
        async with told.pool.acquire() as connection:
            assert await notifications.read(connection, told.bob.user_id, row["id"]) == 0
    if case == "has left":
        await told.pool.execute("DELETE FROM project_members WHERE user_id = $1", told.bob.user_id)
    async with post_office() as (post, port), mailing(told, port):
        assert await settled(told, 0 if case == "does not want it" else 1) is None
    assert post.mails == []


async def test_a_server_that_is_away_gets_it_later(told: Told) -> None:
    """Or refuses for now; what it refuses for good is given up."""
    address = await mentioned(told)
    async with mailing(told, free_port()):
        assert await settled(told, 1) is not None
    async with post_office() as (post, port), mailing(told, port):
        post.refusals = ["450 busy"]
        await due(told)
        assert await settled(told, 2) is not None
        await due(told)
        await post.to(address)
        assert await settled(told, 3) is None


async def test_what_is_refused_for_good_is_given_up(told: Told) -> None:
    """At once, and what fails for a day in the end."""
    await mentioned(told)
    async with post_office() as (post, port), mailing(told, port):
        post.refusals = ["550 no such user"]
        await due(told)
        assert await settled(told, 1) is None
    assert post.mails == []


async def test_a_process_that_dies_mails_the_same_again(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the mail and before it noted so: it comes again, with the same Message-ID."""
    address = await mentioned(told)

    async def dies(*_: object) -> None:
        raise RuntimeError("killed")

    async with post_office() as (post, port):
        with monkeypatch.context() as patched:
            patched.setattr(notifications, "mailed", dies)
            async with mailing(told, port) as task:
                with pytest.raises(RuntimeError, match="killed"):
                    await task
        async with mailing(told, port):
            await due(told)
            await post.to(address, count=2)
            await settled(told, 1)
    assert len({mail["Message-ID"] for mail in post.mails}) == 1
