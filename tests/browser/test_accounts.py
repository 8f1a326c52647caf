"""Teams on the page: versions of a message, search, invitations, and the end of a sign-in."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import NewWindow
from tests.browser.test_page import answer, ask, is_done, sign_up
from tests.running import Chorus

PASSWORD = "correct horse battery"


@pytest.fixture
async def elsewhere(chorus: Chorus, browser: Browser) -> AsyncIterator[Page]:
    """The page on another device."""
    context: BrowserContext = await browser.new_context(viewport={"width": 375, "height": 740}, locale="en-GB")
    page = await context.new_page()
    await page.goto(chorus.url)
    yield page
    await context.close()


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


async def test_a_second_person_is_invited(new_window: NewWindow, elsewhere: Page) -> None:
    """Whom somebody adds to a project sees its threads and who says what; who only reads is offered no box."""
    email = f"{uuid4().hex}@example.org"
    await enter(elsewhere, email, "Grace Hopper")
    page = await new_window()
    await sign_up(page)
    await ask(page, "What does the sea say? /tokens 3")
    await is_done(page)

    await page.get_by_test_id("project-manage").click()
    await page.get_by_test_id("invite-email").fill(email)
    await page.get_by_test_id("invite-role").select_option("viewer")
    await page.get_by_test_id("invite-send").click()
    await expect(page.get_by_test_id("member")).to_have_count(2)

    await elsewhere.reload()
    await elsewhere.get_by_test_id("open-sidebar").click()
    await elsewhere.get_by_test_id("project-switch").click()
    await elsewhere.get_by_test_id("project-item").last.click()
    await elsewhere.get_by_test_id("conversation-item").click()
    await expect(elsewhere.get_by_test_id("message-user")).to_contain_text("What does the sea say?")
    await expect(elsewhere.get_by_test_id("message-author")).to_have_text("Ada")
    await expect(elsewhere.get_by_test_id("reads-only")).to_be_visible()
    await expect(elsewhere.get_by_test_id("composer")).to_have_count(0)
