"""Accessibility of the chat page in every state, by the rules of axe-core."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests.support.accessibility import violations_of
from tests.support.chat_page import TIMEOUT_MS, conversation_of, expect_final_replies, open_page, send_message
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.browser]

RETURN = "How many days do I have to return an item?"
REPLY = (
    "See https://shop.example/returns\n\n## Steps\n\n- one\n- two\n\n```\ncode\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
)


@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 1280)])
async def test_no_state_of_the_page_violates_a_rule(
    page: Page, suite: Suite, scheme: Literal["light", "dark"], width: int
) -> None:
    """Names, roles, contrast and structure, in both colour schemes and on a small and a large screen."""
    await page.set_viewport_size({"width": width, "height": 640})
    await page.emulate_media(color_scheme=scheme)
    desk, headers = f"{suite.url}/v1/ops", suite.operator_headers
    found: dict[str, list[str]] = {}

    async def check(state: str) -> None:
        found[state] = await violations_of(page)

    await open_page(page, suite)
    await expect(page.get_by_test_id("example").first).to_be_visible(timeout=TIMEOUT_MS)
    await check("welcome")

    body = {"text": "Payments by card fail.", "audience": "customers", "severity": "critical"}
    notice = (await (await page.request.post(f"{desk}/notices", data=body, headers=headers)).json())["notice"]["notice"]
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    await expect(page.get_by_test_id("notice")).to_be_visible(timeout=TIMEOUT_MS)
    await check("answer and notice")
    await page.request.delete(f"{desk}/notices/{notice}", headers=headers)
    await page.get_by_test_id("citation").first.click()
    await expect(page.locator("#passage-article mark").first).to_be_visible(timeout=TIMEOUT_MS)
    await check("passage")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("rate-1").click()
    await expect(page.get_by_test_id("reason")).to_be_visible()
    await check("low rating")

    await page.get_by_test_id("request-person").click()
    await expect(page.get_by_test_id("person-text")).to_contain_text("in the queue", timeout=TIMEOUT_MS)
    await expect_final_replies(page, 2)
    await check("queue")
    conversation = await conversation_of(page)
    for command in ({"do": "claim"}, {"do": "reply", "reply_id": "r1", "text": REPLY}):
        path = f"{desk}/desk/{conversation}/{command.pop('do')}"
        assert (await page.request.post(path, data={"person": "Ada", **command}, headers=headers)).ok
    await expect_final_replies(page, 3)
    await check("person")

    second = await page.context.new_page()
    await open_page(second, suite)
    await expect(page.get_by_test_id("continue-here")).to_be_visible(timeout=TIMEOUT_MS)
    await check("second tab")
    await page.get_by_test_id("continue-here").click()
    await page.get_by_test_id("end-conversation").click()
    await expect(page.get_by_test_id("closed")).to_be_visible(timeout=TIMEOUT_MS)
    await check("ended")
    assert {state: violations for state, violations in found.items() if violations} == {}


async def test_violation_is_found(page: Page) -> None:
    """A check that reports nothing would hold nothing."""
    await page.set_content("<main><h1>Shop</h1><button></button><p style='color: #ccc'>Faint</p></main>")
    assert {violation.partition(":")[0] for violation in await violations_of(page)} >= {"button-name", "color-contrast"}
