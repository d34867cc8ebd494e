"""The answer of a language model on the chat page: its marks become numbers of sources that support it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.support.chat_page import TIMEOUT_MS, expect_final_replies, open_page, send_message
from tests.support.model_server import ModelServer, serve_model
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.browser]

FLEET = Path(__file__).parents[2] / "examples" / "minimal-fleet"
QUESTION = "How much does a kayak cost an hour?"
SUPPORTED = "A kayak is 12 euros per hour"
ANSWER = ("Hello. ", f"{SUPPORTED} ", "[1, 2, 3]. ", "Our shops sell bananas on Saturdays [1][2].")

SHOWN = """node => {
    const copy = node.cloneNode(true);
    copy.querySelectorAll('[aria-hidden]').forEach((hidden) => hidden.remove());
    copy.querySelectorAll('sup').forEach((number) => number.replaceWith('^'));
    return copy.textContent;
}"""
"""Returns the visible text of an answer, with ^ for the number of a source."""


async def test_only_supported_statements_have_a_number(page: Page, tmp_path: Path) -> None:
    """The text that is copied stays the model's; the mark of an unsupported statement is hidden."""
    async with serve_model(ModelServer(pieces=ANSWER)) as server:
        config = tmp_path / "llm.toml"
        config.write_text(f'[[provider]]\nname = "m"\nkind = "openai"\nbase_url = "{server.url}"\nmodels = ["small"]\n')
        environment = {"TRUNKLINE_LLM_CONFIG": str(config), "TRUNKLINE_FLEET_DIR": str(FLEET)}
        suite = await asyncio.to_thread(Suite, tmp_path / "suite", environment)
        try:
            await open_page(page, suite)
            await send_message(page, QUESTION)
            await expect_final_replies(page, 1)
            reply = page.get_by_test_id("reply")
            text = reply.locator(".text")
            assert await text.text_content() == "".join(ANSWER)
            chips = reply.get_by_test_id("citation")
            await expect(chips).to_have_attribute("data-document", "prices")
            shown = await text.evaluate(SHOWN)
            assert shown == f"Hello. {SUPPORTED}.^ Our shops sell bananas on Saturdays."
            await expect(text.locator("[aria-hidden]")).to_have_count(3)
            await text.get_by_role("button").click()
            await expect(page.get_by_test_id("passage").locator("mark").first).to_be_visible(timeout=TIMEOUT_MS)
        finally:
            assert await asyncio.to_thread(suite.stop) == 0
