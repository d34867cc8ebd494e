"""The desk as people work at it: several conversations, customers who leave, outages, internal notes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, WebSocket, expect

from tests.support.browser import open_browser
from tests.support.chat_page import TIMEOUT_MS, conversation_of, expect_final_replies, open_page, send_message
from tests.support.console_page import PERSON, RETURN, claim, queue_entry, waiting_conversation
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.browser]


async def test_message_in_a_conversation_in_the_background_is_counted_until_it_is_read(
    page: Page, console: Page, waiting: str
) -> None:
    """The queue shows the customer's own words; badge and title count what the person has not read."""
    entry = queue_entry(console, waiting)
    await expect(console.get_by_test_id("waiting").locator(entry)).to_contain_text(PERSON, timeout=TIMEOUT_MS)
    await expect(console).to_have_title(re.compile(r"^\(1\) Desk"))
    await claim(console, waiting)
    await expect(console.get_by_test_id("own").locator(entry)).to_have_count(1)
    await expect(console).to_have_title(re.compile("^Desk"), timeout=TIMEOUT_MS)

    await console.get_by_test_id("tab-suite").click()
    await send_message(page, "The parcel never came")
    await expect(console).to_have_title(re.compile(r"^\(1\) Suite"), timeout=TIMEOUT_MS)
    await expect(console.get_by_test_id("tab-desk")).to_have_attribute("aria-label", "Desk, 1 unread")
    await send_message(page, "Nor did the second one")
    await console.get_by_test_id("tab-desk").click()
    await expect(entry).to_contain_text("Nor did the second one", timeout=TIMEOUT_MS)
    await expect(entry.get_by_test_id("unread")).to_have_text("2 unread", timeout=TIMEOUT_MS)
    await entry.get_by_role("link").click()
    await expect(entry.get_by_test_id("unread")).to_be_hidden(timeout=TIMEOUT_MS)
    await expect(console).to_have_title(re.compile("^Desk"), timeout=TIMEOUT_MS)
    await console.reload()
    await expect(entry).to_contain_text("Nor did the second one", timeout=TIMEOUT_MS)
    await expect(entry.get_by_test_id("unread")).to_be_hidden()


async def test_customer_who_closes_the_page_waits_behind_the_others(
    page: Page, console: Page, suite: Suite, waiting: str, tmp_path: Path
) -> None:
    """Until the customer returns; the desk says since when the page is closed."""
    entry = queue_entry(console, waiting)
    # Another customer: a second tab of the same browser would show the same conversation.
    async with open_browser(tmp_path / "other") as other_page, waiting_conversation(other_page, suite) as other:
        other_entry = queue_entry(console, other)
        await expect(entry).to_have_attribute("data-position", "1", timeout=TIMEOUT_MS)
        await expect(other_entry).to_have_attribute("data-position", "2", timeout=TIMEOUT_MS)
        await expect(entry.get_by_test_id("gone")).to_be_hidden()

        await page.goto("about:blank")
        await expect(entry.get_by_test_id("gone")).to_contain_text("gone since", timeout=TIMEOUT_MS)
        await expect(entry).to_have_attribute("data-position", "2", timeout=TIMEOUT_MS)
        await expect(other_entry).to_have_attribute("data-position", "1", timeout=TIMEOUT_MS)
        await expect(other_page.get_by_test_id("escalated")).to_contain_text("number 1", timeout=TIMEOUT_MS)
        await entry.get_by_role("link").click()
        await expect(console.get_by_test_id("case")).to_contain_text("gone since", timeout=TIMEOUT_MS)
        await expect(console.get_by_test_id("standing")).to_contain_text("sees a reply on return")

        await page.goto(suite.url)
        await expect(entry.get_by_test_id("gone")).to_be_hidden(timeout=TIMEOUT_MS)
        await expect(entry).to_have_attribute("data-position", "1", timeout=TIMEOUT_MS)


async def test_outage_is_not_an_empty_queue(console: Page) -> None:
    """The desk says that Trunkline cannot be reached, and recovers by itself."""
    failure = console.get_by_test_id("queue-failure")
    await expect(console.get_by_test_id("nobody")).to_be_visible(timeout=TIMEOUT_MS)
    await console.route("**/v1/ops/**", lambda route: route.abort())
    await expect(failure).to_contain_text("Trunkline cannot be reached. The list is as of", timeout=TIMEOUT_MS)
    await expect(console.get_by_test_id("nobody")).to_be_hidden()
    await expect(console.get_by_test_id("take-next")).to_be_disabled()
    await expect(console).to_have_title(re.compile(r"^\(!\) Desk"))
    await console.reload()
    await expect(failure).to_contain_text("Trunkline cannot be reached. Trying again.", timeout=TIMEOUT_MS)
    await expect(console.get_by_test_id("nobody")).to_be_hidden()

    await console.unroute("**/v1/ops/**")
    await expect(failure).to_be_hidden(timeout=TIMEOUT_MS)
    await expect(console.get_by_test_id("nobody")).to_be_visible(timeout=TIMEOUT_MS)
    await expect(console).to_have_title(re.compile("^Desk"))
    await expect(console.get_by_test_id("connection")).to_have_attribute("data-state", "open")


async def test_internal_note_never_reaches_the_customer(page: Page, console: Page, waiting: str) -> None:
    """Colleagues read it in the case and in the trace; no frame to the customer holds it, nor after a resume."""
    frames: list[str | bytes] = []

    def on_frame(frame: str | bytes) -> None:
        frames.append(frame)

    def on_socket(socket: WebSocket) -> None:
        socket.on("framereceived", on_frame)

    page.on("websocket", on_socket)
    await page.reload()
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "open", timeout=TIMEOUT_MS)
    await queue_entry(console, waiting).get_by_role("link").click()
    await console.get_by_test_id("write-note").click()
    await console.get_by_test_id("note-text").fill("Carrier says **lost**: https://carrier.example/c?9")
    await console.get_by_test_id("confirm").click()
    note = console.locator('[data-testid="said"][data-role="note"]')
    await expect(note).to_contain_text("Ada · Internal note", timeout=TIMEOUT_MS)
    await expect(note.locator("strong")).to_have_text("lost")
    await expect(note.get_by_role("link")).to_have_attribute("href", "https://carrier.example/c?9")

    await claim(console, waiting)
    await console.get_by_test_id("reply").fill("Here is **more**: https://shop.example/help")
    await console.get_by_test_id("reply").press("Enter")
    reply = console.locator('[data-testid="said"][data-role="person"]')
    await expect(reply.locator("strong")).to_have_text("more", timeout=TIMEOUT_MS)
    await expect(reply.get_by_role("link")).to_have_attribute("href", "https://shop.example/help")
    replies = page.locator('[data-testid="reply"][data-specialty="person"]')
    await expect(replies).to_have_count(1, timeout=TIMEOUT_MS)
    await page.reload()
    await expect(replies).to_have_count(1, timeout=TIMEOUT_MS)
    await console.get_by_test_id("to-trace").click()
    steps = console.get_by_test_id("steps")
    await expect(steps).to_contain_text("Ada added an internal note: Carrier says", timeout=TIMEOUT_MS)
    await expect(console.get_by_test_id("trace-proof")).to_contain_text(
        "records proven by the head of", timeout=TIMEOUT_MS
    )
    note_step = steps.locator('[data-type="desk.note_added"]')
    await note_step.get_by_test_id("step-record").locator("summary").click()
    await expect(note_step.get_by_test_id("step-record")).to_contain_text("person")
    await expect(note_step.get_by_test_id("step-record")).to_contain_text("CONVERSATIONS")
    await expect(steps.locator('[data-type="conversation.viewed"]').first).to_contain_text("read the")
    assert any("more" in str(frame) for frame in frames)
    assert not any("carrier" in str(frame).lower() for frame in frames)
    assert "carrier" not in (await page.content()).lower()


async def test_low_rating_leads_to_its_conversation(page: Page, console: Page, suite: Suite) -> None:
    """The list is filled from the streams, and its link opens the transcript."""
    await open_page(page, suite)
    await send_message(page, RETURN)
    await expect_final_replies(page, 1)
    conversation = await conversation_of(page)
    await page.get_by_test_id("rate-1").click()
    await console.get_by_test_id("tab-review").click()
    rated = console.get_by_test_id("review-low_rating").locator(
        f'[data-testid="review-item"][data-conversation="{conversation}"]'
    )
    await expect(rated).to_contain_text("rated 1 of 5 · Returns", timeout=TIMEOUT_MS)
    await expect(rated).to_contain_text(RETURN)
    await rated.get_by_test_id("to-conversation").click()
    await expect(console.get_by_test_id("said").first).to_contain_text(RETURN, timeout=TIMEOUT_MS)


async def test_alerts_are_off_until_they_are_switched_on(console: Page) -> None:
    """The choice is kept; a browser that forbids notifications says so at once."""
    sound, notifications = console.get_by_test_id("alert-sound"), console.get_by_test_id("alert-notifications")
    await expect(sound).not_to_be_checked()
    await expect(notifications).not_to_be_checked()
    await sound.check()
    await console.reload()
    await expect(console.get_by_test_id("alert-sound")).to_be_checked()

    await console.evaluate("Notification.requestPermission = async () => 'denied'")
    await notifications.click()
    await expect(console.get_by_test_id("alerts")).to_contain_text("does not permit notifications")
    await expect(notifications).not_to_be_checked()


async def test_notification_names_the_customer_and_no_words(page: Page, console: Page, waiting: str) -> None:
    """It appears only if the page is not in front; other people may see the screen."""
    await claim(console, waiting)
    await console.evaluate(
        """() => {
          window.shown = [];
          const Fake = class extends EventTarget {
            constructor(title, { body }) { super(); window.shown.push(body); }
          };
          Fake.permission = 'granted';
          Fake.requestPermission = async () => 'granted';
          window.Notification = Fake;
          document.hasFocus = () => false;
        }"""
    )
    await console.get_by_test_id("alert-notifications").check()
    await send_message(page, "My secret is 1234")
    await console.wait_for_function("() => window.shown.length > 0", timeout=TIMEOUT_MS)
    shown = await console.evaluate("window.shown.join()")
    assert shown.startswith("New message from Visitor ")
    assert "1234" not in shown
