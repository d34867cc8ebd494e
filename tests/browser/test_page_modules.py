"""The pure modules of the pages, imported by a browser without a suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trunkline_ingress
from playwright.async_api import Page, Route

from tests.support.browser import open_browser

pytestmark = pytest.mark.browser

PAGE = Path(trunkline_ingress.__file__).parent / "page"
ORIGIN = "http://modules.test"


@pytest.fixture
async def modules(tmp_path: Path) -> AsyncIterator[Page]:
    """An empty page whose origin serves the folder of the pages."""

    async def serve(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN + "/")
        if path:
            await route.fulfill(path=PAGE / path, content_type="text/javascript")
        else:
            await route.fulfill(body="<!doctype html>", content_type="text/html")

    async with open_browser(tmp_path / "profile") as page:
        await page.route(f"{ORIGIN}/**", serve)
        await page.goto(f"{ORIGIN}/")
        yield page


async def run(page: Page, module: str, body: str, argument: object = None) -> Any:
    """Run a function body with the module as `m` and the argument as `x`."""
    return await page.evaluate(f"async (x) => {{ const m = await import('/{module}'); {body} }}", argument)


TURN: list[dict[str, object]] = [
    {"type": "started", "conversation": "c1", "resume_token": "t", "seq": 1},
    {"type": "accepted", "id": "m1", "seq": 2},
    {"type": "delta", "turn": "c1-1", "text": "Refunds take "},
    {"type": "delta", "turn": "c1-1", "text": "5 days."},
    {
        "type": "message",
        "turn": "c1-1",
        "seq": 3,
        "text": "Refunds take 5 days.",
        "specialty": "billing",
        "citations": [],
        "in_reply_to": "m1",
    },
]

REDUCE = """
    let state = m.compose(m.initialState(), 'm1', 'How long?');
    for (const frame of x) state = m.receive(state, frame);
    return { texts: state.items.map((item) => [item.kind, item.text]), lastSeq: state.lastSeq,
             resync: state.resync, pending: m.outbox(state).length, typing: m.isTyping(state),
             conversation: state.conversation, restored: m.restore(m.serialise(state)).items.length };
"""


async def test_frames_of_a_turn_become_a_transcript(modules: Page) -> None:
    """Deltas grow one reply, the final message completes it."""
    state = await run(modules, "chat/conversation.js", REDUCE, TURN)
    assert state["texts"] == [["own", "How long?"], ["reply", "Refunds take 5 days."]]
    assert (state["lastSeq"], state["pending"], state["typing"], state["restored"]) == (3, 0, False, 2)


async def test_repeated_frames_change_nothing(modules: Page) -> None:
    """A resume may deliver durable frames again."""
    once = await run(modules, "chat/conversation.js", REDUCE, TURN)
    assert await run(modules, "chat/conversation.js", REDUCE, [*TURN, TURN[1], TURN[4]]) == once


async def test_gap_in_the_sequence_requests_a_resume(modules: Page) -> None:
    """A durable frame is missing: nothing after it is trusted."""
    state = await run(modules, "chat/conversation.js", REDUCE, [TURN[0], {**TURN[4], "seq": 9}])
    assert state["resync"] is True
    assert state["texts"] == [["own", "How long?"]]


async def test_lost_conversation_keeps_its_history_and_sends_pending_messages(modules: Page) -> None:
    """The unacknowledged message opens the new conversation."""
    state = await run(modules, "chat/conversation.js", REDUCE, [TURN[0], {"type": "resumed", "recovered": False}])
    assert [kind for kind, _ in state["texts"]] == ["break", "own"]
    assert (state["conversation"], state["pending"]) == (None, 1)


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("## Title ##", [{"type": "heading", "level": 2, "text": "Title"}]),
        ("one\ntwo\n\nthree", [{"type": "paragraph", "text": "one\ntwo"}, {"type": "paragraph", "text": "three"}]),
        ("```\n# code\n```", [{"type": "code", "text": "# code"}]),
        ("---", [{"type": "rule"}]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", [{"type": "table", "rows": [["a", "b"], ["1", "2"]]}]),
    ],
)
async def test_markdown_is_split_into_blocks(modules: Page, source: str, blocks: list[dict[str, object]]) -> None:
    """One block per construct."""
    assert await run(modules, "shared/markdown-parser.js", "return m.parseBlocks(x);", source) == blocks


async def test_lists_keep_their_start_and_their_nesting(modules: Page) -> None:
    """An ordered list that begins with 3, with a list inside an item."""
    (block,) = await run(
        modules, "shared/markdown-parser.js", "return m.parseBlocks(x);", "3. three\n   - inner\n4. four"
    )
    assert (block["ordered"], block["start"], len(block["items"])) == (True, 3, 2)
    assert [inner["type"] for inner in block["items"][0]] == ["paragraph", "list"]


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("Refunds take **5 days**.", "Refunds take 5 days.", ["Refunds take **5 days"]),
        ("The “quick” fox", 'the "quick" fox', ["The “quick” fox"]),
        ("one two three four", "one … four", ["one", "four"]),
        ("nothing like it", "refund", []),
    ],
)
async def test_quote_is_found_across_markup(modules: Page, text: str, quote: str, found: list[str]) -> None:
    """Only letters and digits are compared."""
    body = "return m.findQuote(x[0], x[1]).map(([from, to]) => x[0].slice(from, to));"
    assert await run(modules, "chat/quote.js", body, [text, quote]) == found


async def test_names_and_times_are_readable(modules: Page) -> None:
    """Texts for customers and operators."""
    names = "return [m.prettifyAgent('billing-refunds', 'billing'), m.specialtyName('triage'), m.inSentence('person')];"
    assert await run(modules, "shared/names.js", names) == ["Refunds specialist", "Front desk", "a person"]
    times = "return [m.span(45), m.span(4800), m.dueIn(100, 40), m.dueIn(40, 160)];"
    assert await run(modules, "shared/times.js", times) == ["45 s", "1 h 20 min", "due in 1 min", "2 min overdue"]


async def test_retries_are_delayed_exponentially_with_jitter(modules: Page) -> None:
    """Doubling, capped, and cut by up to half."""
    body = "return [0, 1, 2, 20].map((n) => [m.retryDelay(n, () => 0), m.retryDelay(n, () => 1)]);"
    delays = await run(modules, "chat/connection.js", body)
    shortest = [low for low, _ in delays]
    assert shortest == sorted(shortest)
    assert all(high == pytest.approx(2 * low, abs=1) for low, high in delays)
    assert delays[2][1] == 4 * delays[0][1]
