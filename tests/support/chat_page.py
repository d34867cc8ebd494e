"""Actions of a customer on the chat page in a browser."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.support.suite import Suite

TIMEOUT_MS = 20_000


async def open_page(page: Page, suite: Suite) -> None:
    """Open the page and wait until it is connected."""
    await page.goto(suite.url)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)


async def send_message(page: Page, text: str) -> None:
    """Write a message and send it with the Enter key."""
    await page.get_by_test_id("composer").fill(text)
    await page.get_by_test_id("composer").press("Enter")


async def expect_final_replies(page: Page, count: int) -> None:
    """Wait until the page shows `count` complete answers."""
    await expect(page.locator('[data-testid="reply"][data-final="true"]')).to_have_count(count, timeout=TIMEOUT_MS)


async def conversation_of(page: Page) -> str:
    """Return the id of the page's conversation."""
    return str(await page.evaluate("JSON.parse(localStorage.getItem('trunkline.conversation')).conversation.id"))
