"""A project's money and its webhooks, on the page."""

import asyncio
import re

from playwright.async_api import expect

from tests.browser.conftest import NewWindow
from tests.browser.test_page import answer, ask, is_done, sign_up
from tests.running import Chorus


async def test_credit_pays_for_an_answer(chorus: Chorus, new_window: NewWindow) -> None:
    """Without credit a question waits and says what to do; credit pays for it, the ledger shows it, and what was wrong
    is taken back there, once."""
    page = await new_window()
    await sign_up(page)
    await page.goto(f"{chorus.url}/#/project/agents")
    await page.get_by_test_id("agent").filter(has_text="Default").get_by_test_id("agent-edit").click()
    await page.get_by_test_id("prices").locator("summary").click()
    await page.get_by_test_id("price-output").fill("10")
    await page.get_by_test_id("price-save").click()
    await expect(page.get_by_test_id("price-saved")).to_be_visible()
    await page.get_by_test_id("dialog-close").click()

    await page.goto(f"{chorus.url}/#/")
    await ask(page, "/tokens 3")
    await expect(page.get_by_test_id("message-user")).to_contain_text("not enough credit")
    conversation = page.url
    await page.get_by_test_id("to-money").click()
    await expect(page.get_by_text("Nothing was used in this time.")).to_be_visible()
    await page.get_by_test_id("credit-amount").fill("0.5")
    await page.get_by_test_id("credit-add").click()
    await expect(page.get_by_test_id("wallet-balance")).to_have_text("$0.50")

    await page.goto(conversation)
    await page.get_by_test_id("resend").click()
    await is_done(page)
    await expect(answer(page).get_by_test_id("cost")).to_have_text("$0.00003")
    await page.goto(f"{chorus.url}/#/project/money")
    charge = page.locator("[data-testid=ledger-line][data-kind=charge]")
    async with asyncio.timeout(30):  # billing comes a moment after the answer
        while await charge.count() == 0:
            await page.get_by_test_id("wallet-again").click()
            await expect(page.get_by_test_id("ledger-line").first).to_be_visible()
    await expect(charge).to_contain_text("−$0.00003")
    await page.get_by_test_id("wallet-again").click()
    await expect(page.get_by_test_id("wallet-balance")).to_have_text("$0.49997")
    await page.reload()
    await expect(page.get_by_test_id("usage-plot")).to_contain_text("$0.00003")
    await expect(page.get_by_test_id("usage-table")).to_contain_text("$0.00003")

    await charge.get_by_test_id("reverse").click()
    await page.get_by_test_id("reverse-note").fill("It was wrong")
    await page.get_by_test_id("reverse-do").click()
    back = page.locator("[data-testid=ledger-line][data-kind=reverse]")
    await expect(back).to_contain_text("It was wrong")
    await expect(back).to_contain_text("+$0.00003")
    await expect(page.get_by_test_id("wallet-balance")).to_have_text("$0.50")
    await expect(charge.get_by_test_id("reverse")).to_have_count(0)


async def test_a_webhook_is_made_and_tested(chorus: Chorus, new_window: NewWindow) -> None:
    """A webhook shows its secret once; a test of it stands in its log with what came of it; it can be switched off."""
    page = await new_window()
    await sign_up(page)
    await page.goto(f"{chorus.url}/#/project/webhooks")
    await page.get_by_test_id("webhook-new").click()
    await page.get_by_test_id("webhook-url").fill("https://chorus.invalid/here")
    await page.get_by_test_id("webhook-save").click()
    await expect(page.get_by_test_id("webhook-secret")).to_have_value(re.compile("whsec_"))
    await page.get_by_test_id("webhook-secret-kept").click()
    await expect(page.get_by_test_id("webhook-secret")).to_have_count(0)

    await page.get_by_test_id("webhook-test").click()
    await expect(page.get_by_test_id("delivery")).to_contain_text("webhook.test")
    await page.get_by_test_id("delivery").locator("summary").click()
    attempts = page.get_by_test_id("attempts")
    await expect(attempts).to_be_visible()
    async with asyncio.timeout(30):
        while " ms" not in await attempts.inner_text():
            await page.get_by_test_id("deliveries-again").click()
            await asyncio.sleep(0.1)

    await page.get_by_test_id("webhook-enabled").click()
    await expect(page.get_by_test_id("webhook-enabled")).to_have_attribute("aria-checked", "false")
    await expect(page.get_by_test_id("webhook-test")).to_be_disabled()
