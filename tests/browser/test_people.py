"""Customers and people at the desk, each in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.support.chat_page import TIMEOUT_MS, conversation_of, expect_final_replies, open_page, send_message
from tests.support.suite import Suite, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.browser]

PERSON = "I want to speak to a person"
RETURN = "How many days do I have to return an item?"


@pytest.fixture
async def waiting(page: Page, suite: Suite) -> AsyncIterator[str]:
    """The conversation of a customer on `page` who has been answered once and waits for a person now."""
    await open_page(page, suite)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    await send_message(page, PERSON)
    await expect_final_replies(page, 2)
    await expect(page.get_by_test_id("escalated")).to_have_attribute("data-stage", "waiting")
    conversation = await conversation_of(page)
    yield conversation
    # Whoever is left at the desk would be in the way of the next customer.
    await page.request.post(f"{suite.url}/v1/ops/desk/{conversation}/claim", data={"person": "Ada"})
    await page.request.post(f"{suite.url}/v1/ops/desk/{conversation}/close", data={"person": "Ada"})


def line_of(console: Page, conversation: str) -> Locator:
    return console.locator(f'[data-testid="line"][data-conversation="{conversation}"]')


async def take(console: Page, conversation: str) -> None:
    await line_of(console, conversation).get_by_role("link").click()
    await console.get_by_test_id("claim").click()
    await expect(console.get_by_test_id("reply")).to_be_visible(timeout=TIMEOUT_MS)


async def test_person_takes_answers_and_hands_back_a_waiting_conversation(
    page: Page, console: Page, waiting: str
) -> None:
    """The customer sees who is there, what the person says, and who goes on afterwards."""
    await expect(page.get_by_test_id("escalated")).to_contain_text("You are number 1 in the queue")
    await expect(line_of(console, waiting)).to_have_attribute("data-position", "1", timeout=TIMEOUT_MS)
    await console.get_by_test_id("take-next").click()
    await expect(console.get_by_test_id("summary")).to_contain_text(PERSON, timeout=TIMEOUT_MS)
    await expect(console.get_by_test_id("said").first).to_contain_text(RETURN)
    await expect(page.locator('[data-testid="handoff"][data-to="person"]')).to_contain_text("Ada", timeout=TIMEOUT_MS)
    await expect(page.get_by_test_id("leave-queue")).to_have_count(0)

    await console.get_by_test_id("reply").fill("Hello, Ada here. What happened?")
    await console.get_by_test_id("reply").press("Enter")
    reply = page.locator('[data-testid="reply"][data-specialty="person"]')
    await expect(reply).to_contain_text("Hello, Ada here. What happened?", timeout=TIMEOUT_MS)
    await expect(reply).to_contain_text("Ada")

    await send_message(page, "The parcel never came")
    await expect(page.get_by_test_id("own-message").last).to_have_attribute("data-state", "accepted")
    await expect(console.get_by_test_id("said").last).to_contain_text("The parcel never came", timeout=TIMEOUT_MS)
    await expect(page.get_by_test_id("typing")).to_be_hidden()

    await console.get_by_test_id("hand-back").click()
    await console.get_by_test_id("note").fill("Parcel is lost, the refund is agreed")
    await console.get_by_test_id("to").select_option("billing")
    await console.get_by_test_id("confirm").click()
    await expect(console.get_by_test_id("standing")).to_contain_text("agents answer", timeout=TIMEOUT_MS)
    await expect(page.locator('[data-testid="handoff"][data-from="person"]')).to_contain_text(
        "Billing", timeout=TIMEOUT_MS
    )
    await expect_final_replies(page, 3)
    await send_message(page, "How long does a refund take?")
    await expect_final_replies(page, 4)
    await expect(page.get_by_test_id("reply").last).to_have_attribute("data-specialty", "billing")

    await console.get_by_test_id("to-trace").click()
    words = console.get_by_test_id("steps")
    await expect(words).to_contain_text("Ada handed the conversation back to billing", timeout=TIMEOUT_MS)


async def test_reply_whose_acknowledgement_was_lost_is_sent_again_and_read_once(
    page: Page, console: Page, waiting: str
) -> None:
    """The desk does not know whether it arrived, says so, and sends the same reply."""
    await take(console, waiting)
    ids: list[Any] = []

    async def lose_answer(route: Route) -> None:
        ids.append(route.request.post_data_json["reply_id"])
        await route.fetch()
        await route.abort()

    await console.route("**/reply", lose_answer)
    await console.get_by_test_id("reply").fill("Your refund is on its way")
    await console.get_by_test_id("send").click()
    await expect(console.get_by_test_id("unsent")).to_have_attribute("data-state", "failed", timeout=TIMEOUT_MS)
    await console.unroute("**/reply")
    async with console.expect_request("**/reply") as again:
        await console.get_by_test_id("send-again").click()
    assert (await again.value).post_data_json["reply_id"] == ids[0]
    await expect(console.get_by_test_id("unsent")).to_have_count(0, timeout=TIMEOUT_MS)
    await expect(console.locator('[data-testid="said"][data-role="person"]')).to_have_count(1)
    await expect(page.locator('[data-testid="reply"][data-specialty="person"]')).to_have_count(1)


async def test_customer_who_stops_waiting_leaves_the_queue(page: Page, suite: Suite, waiting: str) -> None:
    """The page says so, and nobody at the desk sees the conversation any more."""
    await page.get_by_test_id("leave-queue").click()
    await expect(page.get_by_test_id("escalated")).to_have_attribute("data-stage", "left", timeout=TIMEOUT_MS)
    await asyncio.to_thread(
        wait_until,
        lambda: waiting not in [line["conversation"] for line in suite.get("/v1/ops/desk")],
        "the desk to forget who no longer waits",
    )
    await send_message(page, RETURN)
    await expect_final_replies(page, 3)


async def test_notice_appears_on_the_page_and_goes_when_it_is_recalled(page: Page, console: Page, suite: Suite) -> None:
    """Shown to who has just come and to who is in the middle of a conversation; recalled, it is gone at once."""
    notices = f"{suite.url}/v1/ops/notices"
    order = {"text": "Payments by card fail at the moment.", "audience": "customers", "severity": "critical"}
    published = await (await page.request.post(notices, data=order)).json()
    shown = page.get_by_test_id("notice")
    await open_page(page, suite)
    await expect(shown).to_contain_text("Payments by card fail at the moment.", timeout=TIMEOUT_MS)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    assert (await page.request.delete(f"{notices}/{published['notice']['notice']}")).ok
    await expect(shown).to_have_count(0, timeout=TIMEOUT_MS)

    await console.get_by_test_id("tab-notices").click()
    await console.get_by_test_id("notice-text").fill("Deliveries are late this week.")
    await console.get_by_test_id("notice-audience").select_option("customers")
    await console.get_by_test_id("publish").click()
    await expect(shown).to_contain_text("Deliveries are late this week.", timeout=TIMEOUT_MS)
    on_board = console.locator('[data-testid="notices"] [data-testid="notice"]')
    await expect(on_board).to_contain_text("have confirmed it", timeout=TIMEOUT_MS)
    await console.get_by_test_id("recall").click()
    await console.get_by_test_id("confirm").click()
    await expect(shown).to_have_count(0, timeout=TIMEOUT_MS)
    await expect(on_board).to_have_count(0, timeout=TIMEOUT_MS)


async def test_notice_for_one_tenant_is_read_by_its_customers_only(page: Page, console: Page, suite: Suite) -> None:
    """Chosen at the console by name; the board says for whom it is."""
    await open_page(page, suite)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    await console.get_by_test_id("tab-notices").click()
    for text, tenants in (("For another house.", "elsewhere, nowhere"), ("For this house.", " default ,elsewhere")):
        await console.get_by_test_id("notice-text").fill(text)
        await console.get_by_test_id("notice-audience").select_option("customers")
        await console.get_by_test_id("notice-tenants").fill(tenants)
        await console.get_by_test_id("publish").click()
        await expect(console.get_by_test_id("notice-tenants")).to_have_value("", timeout=TIMEOUT_MS)
    await expect(page.get_by_test_id("notice")).to_contain_text("For this house.", timeout=TIMEOUT_MS)
    await expect(page.get_by_test_id("notice")).to_have_count(1)
    board = console.locator('[data-testid="notices"] [data-testid="notice"]')
    await expect(board).to_have_count(2, timeout=TIMEOUT_MS)
    await expect(board.last).to_contain_text("Customers of elsewhere, nowhere")
    for shown in await asyncio.to_thread(suite.get, "/v1/ops/notices"):
        await page.request.delete(f"{suite.url}/v1/ops/notices/{shown['notice']['notice']}")


async def test_answer_names_the_specialty_whose_advice_is_in_it(page: Page, suite: Suite) -> None:
    """A message that touches two fields is answered by one and says who helped."""
    await open_page(page, suite)
    await send_message(page, "I was charged twice and my thermostat will not connect to the Wi-Fi")
    await expect_final_replies(page, 1)
    owner = await page.get_by_test_id("reply").get_attribute("data-specialty")
    helper = {"technical": "Billing", "billing": "Technical"}[str(owner)]
    await expect(page.get_by_test_id("consulted")).to_contain_text(f"with advice from {helper}")


async def test_console_shows_the_supervision_tree_and_rolls_the_fleet_back(console: Page, suite: Suite) -> None:
    """Every process of the suite has its line; the version in force is marked, and the one before is put back."""
    current = await asyncio.to_thread(suite.get, "/v1/ops/fleet")
    before, company = current["version"], current["fleet"]["company"]
    company["greeting"] += " It is a fine day."
    order = {"fleet": current["fleet"], "after": before, "note": "greeting"}
    assert (await console.request.post(f"{suite.url}/v1/ops/fleet", data=order)).ok

    await console.get_by_test_id("tab-suite").click()
    names = {process["name"] for process in (await asyncio.to_thread(suite.get, "/v1/ops/status"))["processes"]}
    await expect(console.get_by_test_id("process")).to_have_count(len(names), timeout=TIMEOUT_MS)
    in_force = console.locator('[data-testid="version"][data-in-force]')
    await expect(in_force).to_have_attribute("data-version", str(before + 1), timeout=TIMEOUT_MS)
    await console.locator(f'[data-testid="version"][data-version="{before}"]').get_by_test_id("roll-back").click()
    await console.get_by_test_id("confirm").click()
    await expect(in_force).to_have_attribute("data-version", str(before + 2), timeout=TIMEOUT_MS)
    await expect(in_force).to_contain_text("rolled back by Ada")
    await expect(console.get_by_test_id("fleet-sum")).to_contain_text(
        f"have taken version {before + 2}", timeout=TIMEOUT_MS
    )
    assert "fine day" not in (await asyncio.to_thread(suite.get, "/v1/company"))["greeting"]


async def test_operator_is_asked_for_the_token_where_it_is_needed(page: Page, tmp_path: Path) -> None:
    """A wrong one is refused, the right one is asked for once a tab."""
    guarded = Suite(
        tmp_path / "guarded",
        {"TRUNKLINE_AUTH_SECRET": "a secret of sixteen or more", "TRUNKLINE_OPERATOR_TOKEN": "open sesame"},
    )
    try:
        await page.goto(f"{guarded.url}/console")
        for token in ("wrong", "open sesame"):
            await page.get_by_test_id("operator-token").fill(token)
            await page.get_by_test_id("confirm").click()
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)
        await page.reload()
        await expect(page.get_by_test_id("nobody")).to_be_visible(timeout=TIMEOUT_MS)
        await expect(page.get_by_test_id("token")).to_have_count(0)
    finally:
        assert await asyncio.to_thread(guarded.stop) == 0
