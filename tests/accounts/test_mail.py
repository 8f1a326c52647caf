"""Mail: sent in the background, tried again, and never lost without a word."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from infra.mail import MOST_WAITING, TRIES, Mail, MailSettings
from infra.settings import BadSetting
from infra.stack.ports import free_port
from tests.accounts.post import post_office
from tests.running import Stack, soon
from tests.stack.rest_api import opened, start_api

LINK = "https://chorus.example/reset#token=secret"


def settings(port: int) -> MailSettings:
    return MailSettings(host="127.0.0.1", port=port, sender="Chorus <chorus@example.org>")


@asynccontextmanager
async def sending(port: int) -> AsyncIterator[Mail]:
    mail = Mail(settings(port), first_pause_s=0.01)
    work = asyncio.create_task(mail.run())
    await asyncio.sleep(0)  # a task that is cancelled before its first step never runs
    yield mail
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_mail_arrives_as_it_was_meant() -> None:
    """Letters of all alphabets in text and subject; a subject is one line, whatever is in it."""
    async with post_office() as (post, port), sending(port) as mail:
        await mail.send("ada@example.org", "Đặt lại\r\nBcc: eve@example.org", f"mật khẩu: {LINK}")
        text = await post.to("ada@example.org")
    assert f"mật khẩu: {LINK}" in text
    (mail_,) = post.mails
    assert mail_["Subject"] == "Đặt lại Bcc: eve@example.org"
    assert (mail_["From"], mail_["Bcc"]) == ("Chorus <chorus@example.org>", None)


async def test_mail_is_tried_again() -> None:
    """A server that refuses for now, or is not there yet, gets it later."""
    async with post_office() as (post, port), sending(port) as mail:
        post.refusals += ["450 busy", "451 later"]
        await mail.send("ada@example.org", "s", LINK)
        await post.to("ada@example.org")
    assert (post.tries, len(post.mails)) == (3, 1)
    port = free_port()
    async with sending(port) as mail:
        await mail.send("ada@example.org", "s", LINK)
        async with post_office(port) as (post, _):
            await post.to("ada@example.org")


async def test_a_mailbox_that_says_later_holds_up_no_other() -> None:
    """However many mails wait for their next try, the one for somebody else goes out at once."""
    async with post_office() as (post, port):
        mail = Mail(settings(port), first_pause_s=30.0)
        work = asyncio.create_task(mail.run())
        post.refusals += ["450 later"] * 8
        for n in range(8):
            await mail.send(f"{n}@example.org", "s", LINK)
        await soon("all of them wait", lambda: post.tries == 8)
        await mail.send("ada@example.org", "s", LINK)
        async with asyncio.timeout(10):
            await post.to("ada@example.org")
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert len(post.mails) == 9, "those that wait get a last try when the process stops"


@pytest.mark.parametrize(("refusal", "tries"), [("550 no such user", 1), ("450 never", TRIES)])
async def test_what_is_given_up_is_told_without_its_link(refusal: str, tries: int) -> None:
    """A refusal for good is not tried again; the log says what is lost, and neither the link nor the address."""
    with structlog.testing.capture_logs() as logs:
        async with post_office() as (post, port), sending(port) as mail:
            post.refusals += [refusal] * TRIES
            await mail.send("ada@example.org", "s", LINK)
            await soon("it is given up", lambda: any(line["log_level"] == "error" for line in logs))
    assert post.tries == tries
    assert not post.mails
    assert "secret" not in str(logs)
    assert "ada@example.org" not in str(logs)
    (lost,) = (line for line in logs if line["log_level"] == "error")
    assert lost["to"] == "ad…@example.org"


async def test_what_waits_is_sent_when_a_process_stops() -> None:
    """Mail that was taken just before the end goes out all the same."""
    async with post_office() as (post, port), sending(port) as mail:
        for n in range(5):
            await mail.send(f"{n}@example.org", "s", LINK)
    assert {str(m["To"]) for m in post.mails} == {f"{n}@example.org" for n in range(5)}


async def test_nobody_waits_for_a_mail_server() -> None:
    """However many mails wait, another is taken or given up at once."""
    mail = Mail(settings(free_port()))
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(5):
            for _ in range(MOST_WAITING + 1):
                await mail.send("ada@example.org", "s", "t")
    assert [line["event"] for line in logs] == ["mail is given up"]


@pytest.mark.parametrize(("public_url", "is_printed"), [("", True), ("https://chorus.example.org", False)])
async def test_in_development_it_is_printed(stack: Stack, public_url: str, is_printed: bool) -> None:
    """With no server the link stands in the log of a page on this machine; elsewhere nothing is sent, as it says."""
    running, url = start_api(stack, CHORUS_PUBLIC_URL=public_url)
    try:
        async with opened(running, url) as api:
            ada = await api.sign_up()

            def told() -> list[dict[str, object]]:
                lines = [json.loads(line) for line in running.output.read_text().splitlines() if '"mail' in line]
                return [line for line in lines if line["event"].startswith("mail")]

            await soon("it is told", told)
            (line,) = told()
            assert ("/verify#token=" in str(line)) == is_printed
            assert line["level"] == ("info" if is_printed else "error")
            assert ada.email not in str(line)
    finally:
        await running.stop()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("smtp://mail.example.org", ("mail.example.org", 587, False, "", "")),
        ("smtps://u:p%40ss@mail.example.org", ("mail.example.org", 465, True, "u", "p@ss")),
        ("smtp://u%40example.org:p@mail.example.org:2525", ("mail.example.org", 2525, False, "u@example.org", "p")),
    ],
)
def test_where_mail_goes(url: str, found: tuple[object, ...]) -> None:
    """One address says server, port, TLS, and who we are."""
    s = MailSettings.from_env({"CHORUS_SMTP_URL": url}, public_url="http://x.example")
    assert (s.host, s.port, s.implicit_tls, s.user, s.password) == found
    assert "p@ss" not in repr(s)


@pytest.mark.parametrize(
    "env",
    [
        {"CHORUS_SMTP_URL": "mail.example.org:secret"},
        {"CHORUS_SMTP_URL": "http://u:secret@mail.example.org"},
        {"CHORUS_SMTP_URL": "smtp://u:secret@mail.example.org:x"},
        {"CHORUS_SMTP_URL": "smtp://"},
        {"CHORUS_MAIL_FROM": "Chorus"},
        {"CHORUS_MAIL_FROM": "Chorus <a@b.example>\nBcc: x"},
    ],
)
def test_settings_that_cannot_be_used(env: dict[str, str]) -> None:
    """They are named, and what may be a password is not repeated."""
    with pytest.raises(BadSetting) as refused:
        MailSettings.from_env(env, public_url="http://x.example")
    assert next(iter(env)) in str(refused.value)
    assert "secret" not in str(refused.value)
