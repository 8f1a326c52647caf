"""Ways in besides a password, on the page: a provider, and the links of mails."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.accounts.conftest import api_process, place, sign_in_process
from tests.accounts.signing_in import Place, new_address, somebody
from tests.browser.conftest import NewDevice
from tests.browser.test_accounts import PASSWORD, enter

__all__ = ["api_process", "place", "sign_in_process"]


async def mailed(place: Place, email: str, subject: str) -> str:
    """The link in such a mail."""
    (link,) = re.findall(r"http://\S+#token=\S+", await place.post.to(email, subject))
    return str(link)


async def is_in(page: Page) -> None:
    await expect(page.get_by_test_id("account-name")).to_be_attached()


@pytest.mark.slow
async def test_by_a_provider(place: Place, new_device: NewDevice) -> None:
    """One click at a provider is enough, a reload stays in, and another provider is connected in settings."""
    place.account("google", somebody(new_address(), name="Ada Lovelace"))
    place.account("tiktok", somebody(name="ada"))
    page = await new_device(place.api.url)
    await page.get_by_test_id("auth-with-google").click()
    await expect(page.get_by_test_id("account-name")).to_have_text("Ada Lovelace")
    await page.reload()
    await is_in(page)

    await page.goto(f"{place.api.url}/#/settings/security")
    await page.get_by_test_id("identity-tiktok").get_by_role("button", name="Connect").click()
    await expect(page.get_by_test_id("identity-tiktok").get_by_role("button")).to_have_text("Disconnect")


async def test_who_says_no_at_a_provider(place: Place, new_device: NewDevice) -> None:
    """Whoever does not agree there comes back, and is told why they are not in."""
    place.account("google", None)
    page = await new_device(place.api.url)
    await page.get_by_test_id("auth-with-google").click()
    await expect(page.get_by_test_id("auth-failure")).to_contain_text("did not allow")
    await expect(page).to_have_url(f"{place.api.url}/")


async def test_an_address_is_confirmed(place: Place, new_device: NewDevice) -> None:
    """The link of the mail leads through a sign-in where nobody is in, and works once."""
    email = new_address()
    page = await new_device(place.api.url)
    await enter(page, email, "Ada")
    link = await mailed(place, email, "Confirm")
    other = await new_device(link)
    await expect(other.get_by_test_id("auth-note")).to_contain_text("Sign in")
    await other.get_by_test_id("auth-email").fill(email)
    await other.get_by_test_id("auth-password").fill(PASSWORD)
    await other.get_by_test_id("auth-submit").click()
    await expect(other.get_by_test_id("verified")).to_be_visible()
    await page.goto(f"{place.api.url}/#/settings/profile")
    await expect(page.get_by_test_id("email-state")).to_have_text("Confirmed")

    await page.goto(link)
    await expect(page.get_by_test_id("failure")).to_contain_text("has been used")


@pytest.mark.slow
async def test_a_forgotten_password(place: Place, new_device: NewDevice) -> None:
    """A mailed link sets a new password, with which one is in; its token does not stay in the address."""
    email = new_address()
    await enter(await new_device(place.api.url), email, "Ada")
    page = await new_device(place.api.url)
    await page.get_by_test_id("auth-forgot").click()
    await page.get_by_test_id("forgot-email").fill(email)
    await page.get_by_test_id("forgot-submit").click()
    await expect(page.get_by_test_id("forgot-sent")).to_be_visible()

    await page.goto(await mailed(place, email, "new password"))
    await page.get_by_test_id("reset-password").fill("another horse battery")
    await expect(page).to_have_url(f"{place.api.url}/reset")
    await page.get_by_test_id("reset-submit").click()
    await expect(page.get_by_test_id("auth-note")).to_contain_text("password is set")
    await page.get_by_test_id("auth-email").fill(email)
    await page.get_by_test_id("auth-password").fill("another horse battery")
    await page.get_by_test_id("auth-submit").click()
    await is_in(page)


@pytest.mark.slow
async def test_an_invitation(place: Place, new_device: NewDevice) -> None:
    """Who is invited by mail makes an account, and is in the project."""
    email = new_address()
    host = await new_device(place.api.url)
    await enter(host, new_address(), "Ada")
    await host.goto(f"{place.api.url}/#/project/members")
    await host.get_by_test_id("invite-email").fill(email)
    await host.get_by_test_id("invite-send").click()
    await expect(host.get_by_test_id("invitation")).to_contain_text(email)

    guest = await new_device(await mailed(place, email, ""))
    await expect(guest.get_by_test_id("auth-note")).to_contain_text("invited")
    await guest.reload()
    await enter(guest, email, "Grace Hopper")
    await host.reload()
    await expect(host.get_by_test_id("member").filter(has_text="Grace Hopper")).to_have_count(1)
    await expect(host.get_by_test_id("invitation")).to_have_count(0)
