"""What people are told of, on the page."""

from uuid import uuid4

from playwright.async_api import expect

from tests.browser.conftest import NewDevice, NewWindow
from tests.browser.test_accounts import enter
from tests.running import Chorus


async def test_a_mention_reaches_every_screen(chorus: Chorus, new_window: NewWindow, new_device: NewDevice) -> None:
    """Whom somebody mentions, by a name that the box completes, is told on all screens; read once, it is read."""
    email = f"{uuid4().hex}@example.org"
    computer, phone = await new_device(chorus.url), await new_device(chorus.url)
    await enter(computer, email, "Grace Hopper")
    await enter(phone, email)
    page = await new_window()
    await enter(page, f"{uuid4().hex}@example.org", "Ada")
    await page.get_by_test_id("project-manage").click()
    await page.get_by_test_id("invite-email").fill(email)
    await page.get_by_test_id("invite-send").click()
    await expect(page.get_by_test_id("member")).to_have_count(2)
    await page.go_back()

    await page.get_by_test_id("agent-once").click()
    await page.get_by_test_id("agent-nobody").click()
    await page.get_by_test_id("composer").press_sequentially("The sea, @gra")
    await page.get_by_test_id("composer").press("Enter")
    await expect(page.get_by_test_id("composer")).to_have_value("The sea, @Grace Hopper ")
    await page.get_by_test_id("composer").press("Enter")

    for screen in (computer, phone):
        await expect(screen.get_by_test_id("bell-count")).to_have_text("2")
    await phone.get_by_test_id("bell").click()
    # The phone shows a project of her own, in which nobody knows Ada.
    await expect(phone.get_by_test_id("notification").filter(has_text="Ada mentioned you")).to_be_visible()
    await computer.get_by_test_id("bell").click()
    await computer.get_by_test_id("notification").filter(has_text="mentioned you").click()
    await expect(computer.get_by_test_id("message-user")).to_contain_text("The sea, @Grace Hopper")
    for screen in (computer, phone):
        await expect(screen.get_by_test_id("bell-count")).to_have_count(0)
    await expect(phone.locator("[data-testid=notification][data-read=false]")).to_have_count(0)
    await expect(phone.locator("[data-testid=notification][data-read=true]")).to_have_count(2)
