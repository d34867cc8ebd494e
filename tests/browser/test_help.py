"""Danger, a person by words, waiting, and another language on the chat page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect

from tests.support.chat_page import TIMEOUT_MS, expect_final_replies, open_page, send_message
from tests.support.meaning import suite_by_meaning
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.browser]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite that searches by meaning."""
    with suite_by_meaning(tmp_path_factory.mktemp("meaning")) as running:
        yield running


async def leave(page: Page) -> None:
    """Leave the queue, so that the next test is first in it."""
    await page.get_by_test_id("leave-queue").click()
    await expect(page.get_by_test_id("request-person")).to_be_visible(timeout=TIMEOUT_MS)


async def test_emergency_shows_the_instruction_first_and_calls_a_person(page: Page, suite: Suite) -> None:
    """What the customer writes next is added to the case."""
    await open_page(page, suite)
    await send_message(page, "HELP the router is in flames")
    await expect_final_replies(page, 1)
    reply = page.get_by_test_id("reply").first
    await expect(reply).to_contain_text("Switch off the power at the fuse board")
    await expect(page.get_by_test_id("escalated")).to_be_visible()
    await send_message(page, "it stands in the hall")
    await expect_final_replies(page, 2)
    await expect(page.get_by_test_id("reply").last).to_contain_text("I have added that to your case")
    await leave(page)


async def test_person_is_called_in_the_customers_own_words(page: Page, suite: Suite) -> None:
    """And the place in the queue is still there after coming back."""
    await open_page(page, suite)
    await send_message(page, "is there somebody alive at your place who could help me")
    await expect(page.get_by_test_id("escalated")).to_contain_text("in the queue", timeout=TIMEOUT_MS)
    await page.reload()
    await expect(page.get_by_test_id("person-text")).to_contain_text("in the queue", timeout=TIMEOUT_MS)
    await leave(page)


async def test_other_language_gets_a_polite_reply_in_it(page: Page, suite: Suite) -> None:
    """With the languages that are served."""
    await open_page(page, suite)
    await send_message(page, "Ma lampe clignote tout le temps, que faire ?")
    await expect_final_replies(page, 1)
    reply = page.get_by_test_id("reply")
    await expect(reply).to_contain_text("Désolé")
    await expect(reply).to_contain_text("English")
