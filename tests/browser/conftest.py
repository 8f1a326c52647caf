"""A real browser, and people's windows in it."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.people import http, person
from tests.running import Chorus

__all__ = ["http", "person"]

INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

NewWindow = Callable[[], Awaitable[Page]]
NewDevice = Callable[[str], Awaitable[Page]]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """An installed Chromium or Chrome, else Playwright's own."""
    path = next((found for name in INSTALLED if (found := shutil.which(name))), None)
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=path, args=QUIET)
        yield opened
        await opened.close()


@pytest.fixture
async def context(browser: Browser) -> BrowserContext:
    """One browser profile: its windows share what is stored."""
    return await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """At the end no window may have logged an error or broken the content security policy."""
    found: list[str] = []
    yield found
    assert found == []


def listen(page: Page, complaints: list[str]) -> Page:
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None,
    )
    return page


async def photograph(browser: Browser, folder: Path) -> None:
    for number, page in enumerate(page for context in browser.contexts for page in context.pages):
        await page.screenshot(path=folder / f"window-{number}.png")


@pytest.fixture
async def new_window(
    chorus: Chorus, context: BrowserContext, browser: Browser, complaints: list[str], tmp_path: Path
) -> AsyncIterator[NewWindow]:
    """Opens the page in another window of one browser."""

    async def open_page() -> Page:
        page = listen(await context.new_page(), complaints)
        await page.goto(chorus.url)
        return page

    yield open_page
    await photograph(browser, tmp_path)


@pytest.fixture
async def new_device(browser: Browser, complaints: list[str], tmp_path: Path) -> AsyncIterator[NewDevice]:
    """Opens an address on a phone that nobody has used yet."""

    async def open_address(address: str) -> Page:
        context = await browser.new_context(viewport={"width": 390, "height": 780}, locale="en-GB")
        page = listen(await context.new_page(), complaints)
        await page.goto(address)
        return page

    yield open_address
    await photograph(browser, tmp_path)
