"""Customers and people at the desk, each in a real browser."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.support.chat_page import TIMEOUT_MS, conversation_of, expect_final_replies, open_page, send_message
from tests.support.console_page import PERSON, RETURN, claim, queue_entry
from tests.support.suite import Suite, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.browser]

TOKEN = "a token of thirty-two characters or more"


def reply_id_of(request: Request) -> str:
    body = request.post_data_json
    assert body is not None
    return str(body["reply_id"])


async def test_person_claims_answers_and_hands_back_a_conversation(page: Page, console: Page, waiting: str) -> None:
    """The customer sees the person's name and reply, and the specialty that continues."""
    await expect(page.get_by_test_id("escalated")).to_contain_text("You are number 1 in the queue")
    await expect(queue_entry(console, waiting)).to_have_attribute("data-position", "1", timeout=TIMEOUT_MS)
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
    steps = console.get_by_test_id("steps")
    await expect(steps).to_contain_text("Ada handed the conversation back to billing", timeout=TIMEOUT_MS)


async def test_person_is_requested_by_keyboard_before_any_message(page: Page, suite: Suite) -> None:
    """The button follows the composer; the state replaces it, and it is back after the queue is left."""
    await open_page(page, suite)
    await page.get_by_test_id("composer").focus()
    await page.keyboard.press("Tab")
    await expect(page.get_by_test_id("request-person")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("person-text")).to_have_text("You are number 1 in the queue", timeout=TIMEOUT_MS)
    await expect(page.get_by_test_id("request-person")).to_be_hidden()
    await expect(page.get_by_test_id("composer")).to_be_focused()
    await expect(page.get_by_test_id("own-message")).to_have_text(re.compile("I would like to talk to a person"))
    await expect_final_replies(page, 1)
    await page.get_by_test_id("leave-queue").click()
    await expect(page.get_by_test_id("request-person")).to_be_visible(timeout=TIMEOUT_MS)


async def test_reply_with_lost_acknowledgement_is_retried_and_shown_once(
    page: Page, console: Page, waiting: str
) -> None:
    """The desk shows the reply as failed and retries it with the same id."""
    await claim(console, waiting)
    ids: list[str] = []

    async def lose_response(route: Route) -> None:
        ids.append(reply_id_of(route.request))
        await route.fetch()
        await route.abort()

    await console.route("**/reply", lose_response)
    await console.get_by_test_id("reply").fill("Your refund is on its way")
    await console.get_by_test_id("send").click()
    await expect(console.get_by_test_id("unsent")).to_have_attribute("data-state", "failed", timeout=TIMEOUT_MS)
    await console.unroute("**/reply")
    async with console.expect_request("**/reply") as retry:
        await console.get_by_test_id("send-again").click()
    assert reply_id_of(await retry.value) == ids[0]
    await expect(console.get_by_test_id("unsent")).to_have_count(0, timeout=TIMEOUT_MS)
    await expect(console.locator('[data-testid="said"][data-role="person"]')).to_have_count(1)
    await expect(page.locator('[data-testid="reply"][data-specialty="person"]')).to_have_count(1)


async def test_addresses_of_a_person_are_links(page: Page, console: Page, waiting: str) -> None:
    """Web and mail addresses only, without opener; markup is text, and the customer's own message stays text."""
    await claim(console, waiting)
    text = (
        "Send it to https://shop.example/returns?id=1. Or mail help@shop.example; "
        "not javascript:alert(1) or <a href='https://evil.example'>this</a>"
    )
    await console.get_by_test_id("reply").fill(text)
    await console.get_by_test_id("send").click()
    reply = page.locator('[data-testid="reply"][data-specialty="person"]')
    await expect(reply).to_contain_text("not javascript:alert(1) or <a href=", timeout=TIMEOUT_MS)
    links = [
        [await link.get_attribute(name) for name in ("href", "rel", "target")]
        for link in await reply.get_by_role("link").all()
    ]
    assert links == [
        ["https://shop.example/returns?id=1", "noopener noreferrer", "_blank"],
        ["mailto:help@shop.example", "noopener noreferrer", "_blank"],
        ["https://evil.example", "noopener noreferrer", "_blank"],
    ]
    await send_message(page, "I looked at https://shop.example")
    await expect(page.get_by_test_id("own-message").last).to_contain_text("I looked at https://shop.example")
    await expect(page.get_by_test_id("own-message").get_by_role("link")).to_have_count(0)


async def test_low_rating_asks_for_the_reason_and_offers_a_person(page: Page, suite: Suite) -> None:
    """The rating is stored at once, the reason with the same rating; the offer requests a person."""
    await open_page(page, suite)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    await page.get_by_test_id("rate-2").click()
    await expect(page.get_by_test_id("reason")).to_be_focused()
    await page.get_by_test_id("reason").fill("It took too long.")
    await page.get_by_test_id("reason-person").click()
    await expect(page.get_by_test_id("person-text")).to_contain_text("in the queue", timeout=TIMEOUT_MS)
    conversation = await conversation_of(page)
    steps = (await asyncio.to_thread(suite.get, f"/v1/ops/trace/{conversation}"))["steps"]
    ratings = [step["detail"] for step in steps if step["type"] == "feedback.given"]
    assert [(rating["rating"], rating["text"]) for rating in ratings] == [(2, ""), (2, "It took too long.")]
    await page.get_by_test_id("leave-queue").click()
    await expect(page.get_by_test_id("request-person")).to_be_visible(timeout=TIMEOUT_MS)


async def test_customer_leaves_the_queue(page: Page, suite: Suite, waiting: str) -> None:
    """The page shows it, and the desk no longer lists the conversation."""
    await page.get_by_test_id("leave-queue").click()
    await expect(page.get_by_test_id("escalated")).to_have_attribute("data-stage", "left", timeout=TIMEOUT_MS)
    await asyncio.to_thread(
        wait_until,
        lambda: waiting not in [line["conversation"] for line in suite.get("/v1/ops/desk")],
        "the conversation to leave the desk",
    )
    await send_message(page, RETURN)
    await expect_final_replies(page, 3)


async def test_notice_is_shown_until_it_is_recalled(page: Page, console: Page, suite: Suite) -> None:
    """To customers with and without a conversation; a recall removes it at once."""
    notices = f"{suite.url}/v1/ops/notices"
    body = {"text": "Payments by card fail at the moment.", "audience": "customers", "severity": "critical"}
    published = await (await page.request.post(notices, data=body, headers=suite.operator_headers)).json()
    shown = page.get_by_test_id("notice")
    await open_page(page, suite)
    await expect(shown).to_contain_text("Payments by card fail at the moment.", timeout=TIMEOUT_MS)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    assert (await page.request.delete(f"{notices}/{published['notice']['notice']}", headers=suite.operator_headers)).ok
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


async def test_notice_for_tenants_is_shown_to_their_customers_only(page: Page, console: Page, suite: Suite) -> None:
    """Tenants are entered by name at the console, and the board lists them."""
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
        await page.request.delete(
            f"{suite.url}/v1/ops/notices/{shown['notice']['notice']}", headers=suite.operator_headers
        )


async def test_answer_names_the_consulted_specialty(page: Page, suite: Suite) -> None:
    """A message about two subjects is answered by one specialty, which names the other."""
    await open_page(page, suite)
    await send_message(page, "I was charged twice and my thermostat will not connect to the Wi-Fi")
    await expect_final_replies(page, 1)
    owner = await page.get_by_test_id("reply").get_attribute("data-specialty")
    helper = {"technical": "Billing", "billing": "Technical"}[str(owner)]
    await expect(page.get_by_test_id("consulted")).to_contain_text(f"with advice from {helper}")


async def test_console_shows_the_supervision_tree_and_rolls_the_fleet_back(console: Page, suite: Suite) -> None:
    """Every process has one row; the current version is marked, and the previous one is restored."""
    current = await asyncio.to_thread(suite.get, "/v1/ops/fleet")
    before, company = current["version"], current["fleet"]["company"]
    company["greeting"] += " It is a fine day."
    body = {"fleet": current["fleet"], "after": before, "note": "greeting"}
    assert (await console.request.post(f"{suite.url}/v1/ops/fleet", data=body, headers=suite.operator_headers)).ok

    await console.get_by_test_id("tab-suite").click()
    names = {process["name"] for process in (await asyncio.to_thread(suite.get, "/v1/ops/status"))["processes"]}
    await expect(console.get_by_test_id("process")).to_have_count(len(names), timeout=TIMEOUT_MS)
    in_force = console.locator('[data-testid="version"][data-current]')
    await expect(in_force).to_have_attribute("data-version", str(before + 1), timeout=TIMEOUT_MS)
    await console.locator(f'[data-testid="version"][data-version="{before}"]').get_by_test_id("roll-back").click()
    await console.get_by_test_id("confirm").click()
    await expect(in_force).to_have_attribute("data-version", str(before + 2), timeout=TIMEOUT_MS)
    await expect(in_force).to_contain_text("rolled back by Ada")
    # Until the last of them has loaded it, an ingress may still show the greeting that was rolled back.
    await expect(console.get_by_test_id("fleet-sum")).to_contain_text(
        f"that use the fleet have loaded version {before + 2}", timeout=TIMEOUT_MS
    )
    assert "fine day" not in (await asyncio.to_thread(suite.get, "/v1/company"))["greeting"]


async def test_console_requires_the_operator_token(page: Page, tmp_path: Path) -> None:
    """A wrong token is rejected; the right one is requested once per tab."""
    guarded = Suite(
        tmp_path / "guarded",
        {"TRUNKLINE_AUTH_SECRET": "a secret of thirty-two characters or more", "TRUNKLINE_OPERATOR_TOKEN": TOKEN},
    )
    try:
        await page.goto(f"{guarded.url}/console")
        for token in ("wrong", TOKEN):
            await page.get_by_test_id("operator-token").fill(token)
            await page.get_by_test_id("confirm").click()
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)
        await page.reload()
        await expect(page.get_by_test_id("nobody")).to_be_visible(timeout=TIMEOUT_MS)
        await expect(page.get_by_test_id("token")).to_have_count(0)
    finally:
        assert await asyncio.to_thread(guarded.stop) == 0


async def test_console_link_signs_in_once(page: Page, suite: Suite) -> None:
    """Its code leaves the address at once; opened again in another tab, it asks for the token."""
    link = suite.console_link
    await page.goto(link)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)
    assert "link" not in page.url
    await page.reload()
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)
    await page.evaluate("sessionStorage.clear()")
    await page.goto("about:blank")
    await page.goto(link)
    await expect(page.get_by_test_id("operator-token")).to_be_visible(timeout=TIMEOUT_MS)
