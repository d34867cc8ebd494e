"""Actions of a person on the desk in a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Locator, Page, expect

from tests.support.chat_page import TIMEOUT_MS, conversation_of, expect_final_replies, open_page, send_message
from tests.support.suite import Suite

PERSON: Final = "I want to speak to a person"
RETURN: Final = "How many days do I have to return an item?"


@asynccontextmanager
async def waiting_conversation(page: Page, suite: Suite) -> AsyncIterator[str]:
    """Let the customer of a page get one answer and wait for a person; close the conversation in the end."""
    await open_page(page, suite)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    await send_message(page, PERSON)
    await expect_final_replies(page, 2)
    await expect(page.get_by_test_id("escalated")).to_have_attribute("data-stage", "waiting")
    conversation = await conversation_of(page)
    yield conversation
    # An escalation left in the queue would precede the one of the next test.
    for command in ("claim", "close"):
        await page.request.post(
            f"{suite.url}/v1/ops/desk/{conversation}/{command}", data={"person": "Ada"}, headers=suite.operator_headers
        )


def queue_entry(console: Page, conversation: str) -> Locator:
    """Return the entry of a conversation in the lists of the desk."""
    return console.locator(f'[data-testid="line"][data-conversation="{conversation}"]')


async def claim(console: Page, conversation: str) -> None:
    """Open a conversation, claim it, and wait until a reply can be written."""
    await queue_entry(console, conversation).get_by_role("link").click()
    await console.get_by_test_id("claim").click()
    await expect(console.get_by_test_id("reply")).to_be_visible(timeout=TIMEOUT_MS)
