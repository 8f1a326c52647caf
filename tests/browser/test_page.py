"""The page, in a real browser: what a person sees and can do."""

import asyncio
import re
import signal
from uuid import uuid4

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import NewWindow
from tests.running import Chorus

expect.set_options(timeout=15_000)

SLOW = "/tokens 150 /delay 30"


async def sign_up(page: Page) -> None:
    if await page.get_by_test_id("auth-name").count() == 0:
        await page.get_by_test_id("auth-switch").click()
    await page.get_by_test_id("auth-name").fill("Ada")
    await page.get_by_test_id("auth-email").fill(f"{uuid4().hex}@example.org")
    await page.get_by_test_id("auth-password").fill("correct horse battery")
    await page.get_by_test_id("auth-submit").click()
    await expect(page.get_by_test_id("composer")).to_be_visible()


async def ask(page: Page, text: str) -> None:
    await page.get_by_test_id("composer").fill(text)
    await page.get_by_test_id("composer").press("Enter")


def answer(page: Page) -> Locator:
    return page.get_by_test_id("message-assistant").last


async def is_done(page: Page) -> None:
    await expect(answer(page)).to_have_attribute("data-status", "done")


async def grows(page: Page) -> None:
    """Wait until the answer is streaming and longer than it was."""
    await expect(answer(page)).to_have_attribute("data-status", "streaming")
    before = await answer(page).inner_text()
    await expect(answer(page)).not_to_have_text(before)


async def test_sign_up_ask_and_read(new_window: NewWindow) -> None:
    """A new person asks and sees the answer stream in, then end."""
    page = await new_window()
    await sign_up(page)
    await ask(page, SLOW)

    await expect(page.get_by_test_id("message-user")).to_contain_text(SLOW)
    await grows(page)
    await is_done(page)
    await expect(page.get_by_test_id("conversation-item")).to_have_count(1)


async def test_stop(new_window: NewWindow) -> None:
    """Stop ends the answer, what was there stays, and the next question is answered."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "/tokens 3000 /delay 20")
    await grows(page)
    await page.get_by_test_id("stop").click()
    await expect(answer(page)).to_have_attribute("data-status", "cancelled")

    await ask(page, "/tokens 4")
    await expect(page.get_by_test_id("message-assistant")).to_have_count(2)
    await is_done(page)


async def test_reload_in_mid_answer(new_window: NewWindow) -> None:
    """Loading the page anew in mid-answer shows the text so far and goes on to the end."""
    page = await new_window()
    await sign_up(page)
    await ask(page, SLOW)
    await grows(page)
    before = await answer(page).inner_text()
    await page.reload()

    await expect(answer(page)).to_contain_text(before[:40])
    await is_done(page)
    await expect(page.get_by_test_id("message-user")).to_have_count(1)
    await expect(page.get_by_test_id("message-assistant")).to_have_count(1)


async def test_second_window_in_step(new_window: NewWindow) -> None:
    """A second window shows the same conversation, word for word, while it is being written and after."""
    first = await new_window()
    await sign_up(first)
    await ask(first, SLOW)
    await grows(first)
    second = await new_window()
    await second.get_by_test_id("conversation-item").first.click()
    await grows(second)
    await is_done(first)
    await is_done(second)

    assert await answer(first).inner_text() == await answer(second).inner_text()
    await ask(second, "/tokens 3")
    await expect(first.get_by_test_id("message-user")).to_have_count(2)


async def test_rename_archive_and_delete_with_undo(new_window: NewWindow) -> None:
    """A conversation can be renamed, put away, and deleted with a way back."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "/tokens 3")
    await is_done(page)
    item = page.get_by_test_id("conversation-item")

    await item.first.hover()
    await page.get_by_test_id("conversation-menu").first.click()
    await page.get_by_test_id("delete").click()
    await expect(item).to_have_count(0)
    await page.get_by_test_id("undo").click()
    await expect(item).to_have_count(1)

    await item.first.hover()
    await page.get_by_test_id("conversation-menu").first.click()
    await page.get_by_test_id("archive").click()
    await expect(item).to_have_count(0)


async def test_a_gateway_dies(chorus: Chorus, new_window: NewWindow) -> None:
    """When its gateway dies in mid-answer the page comes back by itself, and the answer is whole."""
    page = await new_window()
    await sign_up(page)
    await ask(page, "/tokens 300 /delay 30")
    await grows(page)
    killed = await asyncio.to_thread(chorus.kill, "gateway", signal.SIGKILL)
    await expect(page.get_by_test_id("connection-banner")).to_be_visible()
    await asyncio.to_thread(chorus.ready_again, "gateway", killed)

    await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-status", "done", timeout=40_000)
    await expect(page.get_by_test_id("message-assistant")).to_have_count(1)


async def test_vietnamese(new_window: NewWindow) -> None:
    """The page speaks Vietnamese when asked to."""
    page = await new_window()
    await page.get_by_test_id("language-switch").click()
    await expect(page.get_by_test_id("auth-submit")).to_have_text(re.compile("[ăâđêôơưĂÂĐÊÔƠƯ]|Đăng"))
