"""The chat page in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.support.chat_page import TIMEOUT_MS, expect_final_replies, open_page, send_message
from tests.support.suite import Suite, run_cli

pytestmark = [pytest.mark.processes, pytest.mark.browser]

REFUND = "I was charged twice for my order, can I get a refund?"
TECHNICAL = "My thermostat will not connect to the Wi-Fi anymore"


async def test_question_is_answered_with_a_citation_that_opens_the_quoted_passage(page: Page, suite: Suite) -> None:
    """The quote is highlighted in its article."""
    await open_page(page, suite)
    await send_message(page, REFUND)
    await expect_final_replies(page, 1)
    reply = page.get_by_test_id("reply")
    await expect(reply).to_have_attribute("data-specialty", "billing")
    await expect(page.get_by_test_id("own-message")).to_have_attribute("data-state", "accepted")
    await page.get_by_test_id("citation").first.click()
    await expect(page.get_by_test_id("passage")).to_be_visible()
    quote = (await page.get_by_test_id("quote").inner_text()).strip()
    assert quote
    await expect(page.get_by_test_id("passage").locator("mark").first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("passage")).to_be_hidden()


async def test_sources_are_one_chip_per_article_with_numbers_in_the_text(page: Page, suite: Suite) -> None:
    """The panel highlights every quote of the article; the text that is copied has no numbers."""
    await open_page(page, suite)
    await send_message(page, REFUND)
    await expect_final_replies(page, 1)
    reply = page.get_by_test_id("reply")
    chips = reply.get_by_test_id("citation")
    documents = [await chip.get_attribute("data-document") for chip in await chips.all()]
    assert documents
    assert len(set(documents)) == len(documents)
    numbers = [await number.get_attribute("data-number") for number in await reply.get_by_test_id("reference").all()]
    assert len(numbers) > len(documents)
    assert list(dict.fromkeys(numbers)) == [str(number) for number in range(1, len(documents) + 1)]
    frame = await page.evaluate("JSON.parse(localStorage.getItem('trunkline.conversation')).items.at(-1)")
    assert await reply.locator(".text").inner_text() == frame["text"]

    first = reply.get_by_test_id("reference").first
    await first.focus()
    await page.keyboard.press("Enter")
    panel = page.get_by_test_id("passage")
    await expect(panel.locator("mark").first).to_be_visible(timeout=TIMEOUT_MS)
    quotes = [citation["quote"] for citation in frame["citations"] if citation["document"] == documents[0]]
    await expect(page.get_by_test_id("quote").locator("> div")).to_have_count(len(quotes))
    marked = "".join(await panel.locator("mark").all_inner_texts())
    assert all(quote.strip(".") in marked for quote in quotes)
    await page.keyboard.press("Escape")
    await expect(first).to_be_focused()


async def test_text_of_the_system_is_the_company_s(page: Page, suite: Suite) -> None:
    """The note of the queue is not attributed to the agent that answered before."""
    await open_page(page, suite)
    await send_message(page, REFUND)
    await expect_final_replies(page, 1)
    await page.get_by_test_id("request-person").click()
    await expect_final_replies(page, 2)
    replies = page.get_by_test_id("reply")
    await expect(replies.nth(0).locator(".speaker")).to_contain_text("Billing · Refund")
    await expect(replies.nth(1).locator(".specialty")).to_have_text(await page.locator("#company").inner_text())
    await expect(replies.nth(1).locator(".agent")).to_have_count(0)
    await page.get_by_test_id("leave-queue").click()
    await expect(page.get_by_test_id("request-person")).to_be_visible(timeout=TIMEOUT_MS)


async def test_citation_opens_the_quoted_version(page: Page, suite: Suite, tmp_path: Path) -> None:
    """Even if the article has changed since, which the page shows."""
    file = tmp_path / "banjo.md"
    front = "---\nid: banjo\ntitle: Banjos\ntopics: [returns, refunds, billing, payments, orders]\n---\n"
    file.write_text(f"{front}The refund for a banjo takes eleven days.")
    assert run_cli(suite, "kb", "import", str(tmp_path)).returncode == 0
    await open_page(page, suite)
    await send_message(page, "How long does the refund for a banjo take?")
    await expect_final_replies(page, 1)
    file.write_text(f"{front}Banjos are not taken back.")
    assert run_cli(suite, "kb", "import", str(tmp_path)).returncode == 0
    await page.locator('[data-testid="citation"][data-document="banjo"]').click()
    panel = page.get_by_test_id("passage")
    await expect(panel.locator("mark").first).to_contain_text("refund for a banjo takes eleven days")
    await expect(panel).to_contain_text("The article has changed since")
    await expect(panel).not_to_contain_text("not taken back")
    file.unlink()
    assert run_cli(suite, "kb", "import", "--prune", str(tmp_path)).returncode == 0


async def test_technical_question_shows_the_handoff(page: Page, suite: Suite) -> None:
    """The reply carries the new specialty."""
    await open_page(page, suite)
    await send_message(page, REFUND)
    await expect_final_replies(page, 1)
    await send_message(page, TECHNICAL)
    await expect_final_replies(page, 2)
    await expect(page.get_by_test_id("handoff")).to_have_count(1)
    await expect(page.get_by_test_id("reply").nth(1)).to_have_attribute("data-specialty", "technical")


async def test_every_message_is_shown_once_if_the_connection_drops_during_answers(page: Page, suite: Suite) -> None:
    """Dropped after each message, and once more by a reload."""
    await open_page(page, suite)
    for number, text in enumerate((REFUND, TECHNICAL, REFUND), start=1):
        await send_message(page, text)
        await page.evaluate("window.trunkline.dropConnection()")
        await expect_final_replies(page, number)
        await expect(page.get_by_test_id("own-message")).to_have_count(number)
    texts = await page.get_by_test_id("reply").all_inner_texts()
    await page.reload()
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)
    await expect_final_replies(page, 3)
    await expect(page.get_by_test_id("own-message")).to_have_count(3)
    turns = [await reply.get_attribute("data-turn") for reply in await page.get_by_test_id("reply").all()]
    assert len(set(turns)) == len(turns)
    assert len(texts) == 3


async def test_page_loads_nothing_from_other_origins(page: Page, suite: Suite) -> None:
    """It works without internet access."""
    foreign: list[str] = []
    page.on(
        "request",
        lambda request: None if request.url.startswith((suite.url, "data:")) else foreign.append(request.url),
    )
    await open_page(page, suite)
    assert not foreign
