"""The chat page on a small phone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import open_browser
from tests.support.chat_page import TIMEOUT_MS, expect_final_replies, open_page, send_message
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.browser]

WIDTH, HEIGHT = 360, 640
RETURN = "How many days do I have to return an item?"


@pytest.fixture
async def phone(tmp_path: Path) -> AsyncIterator[Page]:
    """A page of the size of a small phone."""
    async with open_browser(tmp_path / "phone") as page:
        await page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        yield page


async def expect_within_screen(page: Page, *parts: Locator) -> None:
    """Expect every part to be visible as a whole, and the page to be neither wider nor higher than the screen."""
    for part in parts:
        box = await part.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= WIDTH
        assert box["y"] + box["height"] <= HEIGHT
    overflow = await page.evaluate(
        "[document.scrollingElement.scrollWidth, document.scrollingElement.scrollHeight,"
        " document.getElementById('scroller').scrollWidth]"
    )
    assert overflow[0] <= WIDTH
    assert overflow[1] <= HEIGHT
    assert overflow[2] <= WIDTH


async def test_everything_to_begin_with_is_on_the_first_screen(phone: Page, suite: Suite) -> None:
    """Greeting, an example, the composer and the way to a person, without scrolling."""
    await open_page(phone, suite)
    await expect(phone.get_by_test_id("example").first).to_be_visible(timeout=TIMEOUT_MS)
    await expect_within_screen(
        phone,
        phone.locator("#greeting"),
        phone.get_by_test_id("example").first,
        phone.get_by_test_id("composer"),
        phone.get_by_test_id("send"),
        phone.get_by_test_id("request-person"),
    )


async def test_controls_stay_on_the_screen_of_a_phone(phone: Page, suite: Suite) -> None:
    """In a conversation, with the question for the reason of a rating, and while the customer waits for a person."""
    await open_page(phone, suite)
    await send_message(phone, RETURN)
    await expect_final_replies(phone, 1)
    controls = [phone.get_by_test_id(name) for name in ("end-conversation", "new-conversation", "composer", "send")]
    await expect_within_screen(phone, *controls, phone.get_by_test_id("request-person"))
    await phone.get_by_test_id("rate-1").click()
    await expect(phone.get_by_test_id("reason")).to_be_focused()
    await expect_within_screen(phone, *controls, phone.get_by_test_id("reason"), phone.get_by_test_id("send-reason"))
    await phone.get_by_test_id("request-person").click()
    await expect(phone.get_by_test_id("person-text")).to_contain_text("in the queue", timeout=TIMEOUT_MS)
    await expect_within_screen(phone, *controls, phone.get_by_test_id("person-text"))
    await phone.get_by_test_id("leave-queue").click()
    await expect(phone.get_by_test_id("request-person")).to_be_visible(timeout=TIMEOUT_MS)
    await phone.get_by_test_id("new-conversation").click()
    await expect(phone.get_by_test_id("welcome")).to_be_visible()
    await expect_within_screen(phone, phone.locator("#greeting"), phone.get_by_test_id("example").first)
