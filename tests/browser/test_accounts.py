"""Teams on the page: versions of a message, search, members, who is there, shared links, the bin, and the end."""

import re
from uuid import uuid4
from zipfile import ZipFile

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewDevice, NewWindow
from tests.browser.test_page import answer, ask, is_done, sign_up
from tests.running import Chorus

PASSWORD = "correct horse battery"


@pytest.fixture
async def elsewhere(chorus: Chorus, new_device: NewDevice) -> Page:
    """The page on another device."""
    return await new_device(chorus.url)


async def enter(page: Page, email: str, name: str | None = None) -> None:
    """Sign in; with a name: sign up."""
    if name is not None:
        await page.get_by_test_id("auth-switch").click()
        await page.get_by_test_id("auth-name").fill(name)
    await page.get_by_test_id("auth-email").fill(email)
    await page.get_by_test_id("auth-password").fill(PASSWORD)
    await page.get_by_test_id("auth-submit").click()
    await expect(page.get_by_test_id("composer")).to_be_visible()


async def test_a_question_said_differently(new_window: NewWindow) -> None:
    """An edited question stands beside the first, with its own answer, and both can be read."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "/tokens 3")
    await is_done(page)
    first = await answer(page).get_attribute("data-message-id")

    await page.get_by_test_id("message-user").hover()
    await page.get_by_test_id("edit-message").click()
    await page.get_by_test_id("edit-input").fill("/tokens 5 /delay 1")
    await page.get_by_test_id("edit-input").press("Enter")
    await expect(page.get_by_test_id("sibling-place")).to_have_text("2/2")
    await is_done(page)
    await expect(page.get_by_test_id("message-user")).to_have_count(1)
    assert await answer(page).get_attribute("data-message-id") != first

    await page.get_by_test_id("sibling-previous").click()
    await expect(page.get_by_test_id("message-user")).to_contain_text("/tokens 3")
    await expect(answer(page)).to_have_attribute("data-message-id", first or "")
    await expect(page.get_by_test_id("older-version")).to_be_visible()


async def test_search_and_jump(new_window: NewWindow) -> None:
    """What was said is found without its accents, marked, and shown in its thread."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "Gửi tôi hoá đơn tháng năm /tokens 3")
    await is_done(page)
    wanted = await page.get_by_test_id("message-user").get_attribute("data-message-id")
    await page.get_by_test_id("new-conversation").click()
    await expect(page.get_by_test_id("empty-state")).to_be_visible()

    await page.keyboard.press("Control+k")
    await page.get_by_test_id("search-input").fill("hoa don")
    hit = page.get_by_test_id("search-hit").filter(has=page.locator("mark", has_text=re.compile("hoá|đơn")))
    await expect(hit.first).to_be_visible()
    await page.get_by_test_id("search-input").fill("nothingofthekind")
    await expect(page.get_by_test_id("search-hit")).to_have_count(0)
    await expect(page.get_by_test_id("search-status")).to_contain_text("nothingofthekind")
    await page.get_by_test_id("search-input").fill("hoa don")
    await hit.last.click()

    await expect(page.locator(f'[data-message-id="{wanted}"]')).to_be_in_viewport()
    await expect(page).to_have_url(re.compile("#/c/"))


async def join(page: Page, elsewhere: Page, role: str) -> None:
    """Grace, on the other device, comes into the project and its only conversation, which Ada has open before."""
    email = f"{uuid4().hex}@example.org"
    await enter(elsewhere, email, "Grace Hopper")
    await page.get_by_test_id("project-manage").click()
    await page.get_by_test_id("invite-email").fill(email)
    await page.get_by_test_id("invite-role").select_option(role)
    await page.get_by_test_id("invite-send").click()
    await expect(page.get_by_test_id("member")).to_have_count(2)
    await page.go_back()

    await elsewhere.reload()
    await elsewhere.get_by_test_id("open-sidebar").click()
    await elsewhere.get_by_test_id("project-switch").click()
    await elsewhere.get_by_test_id("project-item").filter(has_text=role.title()).click()
    await elsewhere.get_by_test_id("conversation-item").click()


@pytest.mark.slow
async def test_a_second_person_is_invited(new_window: NewWindow, elsewhere: Page) -> None:
    """Whom somebody adds to a project sees its threads and who says what; who only reads is offered no box."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "What does the sea say? /tokens 3")
    await is_done(page)
    await join(page, elsewhere, "viewer")
    await expect(elsewhere.get_by_test_id("message-user")).to_contain_text("What does the sea say?")
    await expect(elsewhere.get_by_test_id("message-author")).to_have_text("Ada")
    await expect(elsewhere.get_by_test_id("reads-only")).to_be_visible()
    await expect(elsewhere.get_by_test_id("composer")).to_have_count(0)


@pytest.mark.slow
async def test_who_is_here_and_who_is_writing(new_window: NewWindow, elsewhere: Page) -> None:
    """Two people in one conversation see each other, see who writes, and see it end with the message."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "/tokens 3")
    await is_done(page)
    await join(page, elsewhere, "member")

    await expect(page.get_by_test_id("present")).to_have_attribute("aria-label", re.compile("Grace Hopper"))
    await expect(elsewhere.get_by_test_id("present")).to_have_attribute("aria-label", re.compile("Ada"))
    await elsewhere.get_by_test_id("composer").press_sequentially("/tokens 4")
    await expect(page.get_by_test_id("typing")).to_contain_text("Grace Hopper is typing")
    await elsewhere.get_by_test_id("send").click()
    await expect(page.get_by_test_id("message-author")).to_have_text("Grace Hopper")
    await expect(page.get_by_test_id("typing")).to_be_empty()


@pytest.mark.slow
async def test_a_stranger_opens_a_link(new_window: NewWindow, new_device: NewDevice) -> None:
    """Whoever has a shared link reads the conversation without an account, until the link is taken back."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "What does the sea say? /tokens 3")
    await is_done(page)
    await page.get_by_test_id("thread-menu").click()
    await page.get_by_test_id("share").locator("visible=true").click()
    await page.get_by_test_id("share-create").click()

    stranger = await new_device(await page.get_by_test_id("share-url").input_value())
    await expect(stranger.get_by_test_id("shared-message")).to_have_count(2)
    await expect(stranger.get_by_test_id("shared-message").first).to_contain_text("What does the sea say?")
    await expect(stranger.get_by_test_id("composer")).to_have_count(0)
    await page.get_by_test_id("share-revoke").click()
    await expect(page.get_by_test_id("share-item")).to_have_count(0)
    await stranger.reload()
    await expect(stranger.get_by_test_id("shared-gone")).to_be_visible()


@pytest.mark.slow
async def test_back_from_the_bin(new_window: NewWindow) -> None:
    """What was deleted waits in the bin, and comes back with all that was said."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "What does the sea say? /tokens 3")
    await is_done(page)
    await page.get_by_test_id("thread-menu").click()
    await page.get_by_test_id("delete").locator("visible=true").click()
    await page.reload()  # deleted for good once the page is left

    await page.get_by_test_id("bin-list").click()
    await page.get_by_test_id("bin-restore").click()
    await expect(page.get_by_test_id("bin-item")).to_have_count(0)
    await page.get_by_test_id("archived-back").click()
    await page.get_by_test_id("conversation-item").click()
    await expect(page.get_by_test_id("message-user")).to_contain_text("What does the sea say?")
    await expect(answer(page)).to_have_attribute("data-status", "done")


async def test_a_sign_in_is_ended_from_elsewhere(chorus: Chorus, new_window: NewWindow, elsewhere: Page) -> None:
    """The settings list every sign-in, and what is ended there ends on the other device, which says so."""
    email = f"{uuid4().hex}@example.org"
    await enter(elsewhere, email, "Ada")
    page = await new_window()
    await enter(page, email)
    await page.goto(f"{chorus.url}/#/settings/security")
    await expect(page.get_by_test_id("session")).to_have_count(2)
    await expect(page.get_by_test_id("session").filter(has_text="This browser")).to_have_count(1)
    await page.get_by_test_id("session-end").click()

    await expect(elsewhere.get_by_test_id("auth-note")).to_contain_text("signed out")
    await expect(page.get_by_test_id("session")).to_have_count(1)
    await elsewhere.reload()
    await expect(elsewhere.get_by_test_id("auth-submit")).to_be_visible()


async def test_signed_out_everywhere(chorus: Chorus, new_window: NewWindow, elsewhere: Page) -> None:
    """Signing out everywhere ends the page on another device, and it says so."""
    email = f"{uuid4().hex}@example.org"
    await enter(elsewhere, email, "Ada")
    page = await new_window()
    await enter(page, email)
    await page.goto(f"{chorus.url}/#/settings/security")
    await page.get_by_test_id("sign-out-everywhere").click()

    await expect(page.get_by_test_id("auth-submit")).to_be_visible()
    await expect(elsewhere.get_by_test_id("auth-note")).to_contain_text("signed out")


async def test_home_with_everything_and_gone(chorus: Chorus, new_window: NewWindow) -> None:
    """Everything of somebody's can be taken home; their account goes for good, and a receipt says so."""
    email = f"{uuid4().hex}@example.org"
    page = await new_window()
    await enter(page, email, "Ada")
    await ask(page, "/tokens 3")
    await is_done(page)
    await page.goto(f"{chorus.url}/#/settings/data")
    async with page.expect_download() as downloading:
        await page.get_by_test_id("takeout").click()
    with ZipFile(await (await downloading.value).path()) as taken:
        assert b"/tokens 3" in taken.read("messages.jsonl")

    await page.get_by_test_id("account-delete-input").fill(email)
    await page.get_by_test_id("account-delete").click()
    await expect(page.get_by_test_id("receipt")).to_be_visible()
    await page.get_by_test_id("dialog-close").click()
    await expect(page.get_by_test_id("auth-note")).to_contain_text("deleted")
    await page.get_by_test_id("auth-email").fill(email)
    await page.get_by_test_id("auth-password").fill(PASSWORD)
    await page.get_by_test_id("auth-submit").click()
    await expect(page.get_by_test_id("auth-failure")).to_be_visible()
