"""The conversation on the chat page across tabs: closed and opened again, in a second tab, and started over."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.support.chat_page import TIMEOUT_MS, conversation_of, expect_final_replies, open_page, send_message
from tests.support.suite import Suite, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.browser]

RETURN = "How many days do I have to return an item?"
REFUND = "I was charged twice for my order, can I get a refund?"


async def open_tab(page: Page, suite: Suite) -> Page:
    """Open the chat page in another tab of the same browser."""
    tab = await page.context.new_page()
    await open_page(tab, suite)
    return tab


def answers(suite: Suite, conversation: str) -> int:
    """Return the number of answers in the log."""
    steps = suite.get(f"/v1/ops/trace/{conversation}")["steps"]
    return sum(step["type"] == "turn.answered" for step in steps)


async def test_conversation_survives_its_tab(page: Page, suite: Suite) -> None:
    """Also the answer that was given while no tab was open; the transcript is complete and shown once."""
    await open_page(page, suite)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    conversation = await conversation_of(page)
    await send_message(page, REFUND)
    await expect(page.get_by_test_id("own-message").last).to_have_attribute(
        "data-state", "accepted", timeout=TIMEOUT_MS
    )
    # A browser with a persistent profile ends with its last tab.
    blank = await page.context.new_page()
    await page.close()
    await asyncio.to_thread(wait_until, lambda: answers(suite, conversation) == 2, "the second answer")
    back = await open_tab(blank, suite)
    await expect_final_replies(back, 2)
    await expect(back.get_by_test_id("own-message")).to_have_count(2)
    assert await conversation_of(back) == conversation
    await expect(back.locator('[data-testid="reply"] time')).to_have_count(2)
    await expect(back.locator('[data-testid="own-message"] time')).to_have_count(2)


async def test_second_tab_continues_the_conversation_and_the_first_follows(page: Page, suite: Suite) -> None:
    """The first tab shows every message, and takes the conversation back on request."""
    await open_page(page, suite)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    second = await open_tab(page, suite)
    await expect_final_replies(second, 1)
    await expect(page.get_by_test_id("continue-here")).to_be_visible(timeout=TIMEOUT_MS)
    await send_message(second, REFUND)
    await expect_final_replies(second, 2)
    await expect_final_replies(page, 2)
    await expect(page.get_by_test_id("own-message")).to_have_count(2)

    await page.get_by_test_id("continue-here").click()
    await expect(second.get_by_test_id("continue-here")).to_be_visible(timeout=TIMEOUT_MS)
    await send_message(page, RETURN)
    await expect_final_replies(page, 3)
    await expect_final_replies(second, 3)
    assert await conversation_of(second) == await conversation_of(page)


async def test_conversation_that_begins_in_one_tab_appears_in_the_other(page: Page, suite: Suite) -> None:
    """Both were open before its first message; started over in one, both are empty."""
    await open_page(page, suite)
    second = await open_tab(page, suite)
    await send_message(second, RETURN)
    await expect_final_replies(second, 1)
    await expect_final_replies(page, 1)
    await expect(page.get_by_test_id("composer")).to_be_hidden()

    await second.get_by_test_id("new-conversation").click()
    for tab in (second, page):
        await expect(tab.get_by_test_id("welcome")).to_be_visible(timeout=TIMEOUT_MS)
        await expect(tab.get_by_test_id("own-message")).to_have_count(0)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)
    await send_message(page, REFUND)
    await expect_final_replies(page, 1)
    await expect_final_replies(second, 1)


async def test_start_over_ends_the_conversation_and_clears_the_browser(page: Page, suite: Suite) -> None:
    """Nothing of it is left in the storage, and the desk sees it closed."""
    await open_page(page, suite)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    conversation = await conversation_of(page)
    await page.get_by_test_id("new-conversation").click()
    await expect(page.get_by_test_id("welcome")).to_be_visible()
    stored = await page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert RETURN not in stored
    assert conversation not in stored
    await asyncio.to_thread(
        wait_until, lambda: suite.get(f"/v1/ops/desk/{conversation}")["closed"], "the conversation is closed"
    )
