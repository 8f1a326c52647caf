"""A real browser, and people's windows in it."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
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
async def new_window(chorus: Chorus, context: BrowserContext, tmp_path: Path) -> AsyncIterator[NewWindow]:
    """Opens the page; at the end no window may have logged an error or broken the content security policy."""
    complaints: list[str] = []

    async def open_page() -> Page:
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None,
        )
        await page.goto(chorus.url)
        return page

    yield open_page
    for number, page in enumerate(context.pages):
        await page.screenshot(path=tmp_path / f"window-{number}.png")
    assert complaints == []
