"""Pure modules of the chat page, modules shared by both pages, and the imports of all modules."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.support.page_modules import PAGE, open_modules, run_module

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def modules(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """One page for all tests, since the modules are pure."""
    async with open_modules(tmp_path_factory.mktemp("modules")) as page:
        yield page


# -- conversation ---


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
    state = await run_module(modules, "chat/conversation.js", REDUCE, TURN)
    assert state["texts"] == [["own", "How long?"], ["reply", "Refunds take 5 days."]]
    assert (state["lastSeq"], state["pending"], state["typing"], state["restored"]) == (3, 0, False, 2)


async def test_repeated_frames_change_nothing(modules: Page) -> None:
    """A resume may deliver durable frames again."""
    once = await run_module(modules, "chat/conversation.js", REDUCE, TURN)
    assert await run_module(modules, "chat/conversation.js", REDUCE, [*TURN, TURN[1], TURN[4]]) == once


async def test_gap_in_the_sequence_requests_a_resume(modules: Page) -> None:
    """A durable frame is missing: nothing after it is trusted."""
    state = await run_module(modules, "chat/conversation.js", REDUCE, [TURN[0], {**TURN[4], "seq": 9}])
    assert state["resync"] is True
    assert state["texts"] == [["own", "How long?"]]


async def test_lost_conversation_keeps_its_history_and_sends_pending_messages(modules: Page) -> None:
    """The unacknowledged message opens the new conversation."""
    state = await run_module(
        modules, "chat/conversation.js", REDUCE, [TURN[0], {"type": "resumed", "recovered": False}]
    )
    assert [kind for kind, _ in state["texts"]] == ["break", "own"]
    assert (state["conversation"], state["pending"]) == (None, 1)


async def test_rejected_message_is_held_and_fails_after_the_last_attempt(modules: Page) -> None:
    """A retryable error holds the message; a retry sends it under its id with a new key."""
    body = """
        const error = { type: 'error', code: 'rate_limited', message: 'Too fast.', retryable: true, id: 'm1' };
        let state = m.compose(m.receive(m.initialState(), x), 'm1', 'How long?');
        const keys = [], held = [];
        for (let attempt = 0; attempt < m.MAX_ATTEMPTS; attempt += 1) {
            keys.push(m.outbox(state)[0].key);
            state = m.receive(state, error);
            held.push(m.heldMessages(state).length);
            state = attempt < m.MAX_ATTEMPTS - 1 ? m.retry(state, 'm1') : state;
        }
        return { keys, held, item: state.items[0], pending: m.outbox(state).length };
    """
    result = await run_module(modules, "chat/conversation.js", body, TURN[0])
    assert result["keys"] == [f"m1#{attempt}" for attempt in range(5)]
    assert result["held"] == [1, 1, 1, 1, 0]
    assert (result["item"]["state"], result["item"]["trouble"], result["pending"]) == ("failed", "Too fast.", 0)


async def test_queue_for_a_person_is_entered_and_left(modules: Page) -> None:
    """The escalation follows its position; `cancel` stays in the outbox until a handoff confirms it."""
    body = """
        let state = x.reduce(m.receive, m.initialState());
        const position = state.items[0].position;
        state = m.leaveQueue(state);
        const frames = m.outbox(state).map((entry) => entry.frame.type);
        state = m.receive(state, { type: 'handoff', turn: 't', seq: 3, from: 'escalation', to: 'billing' });
        return { position, frames, stages: state.items.map((item) => item.stage ?? item.back),
                 waiting: m.inQueue(state), pending: m.outbox(state).length };
    """
    frames = [
        TURN[0],
        {"type": "escalated", "turn": "t", "seq": 2, "urgency": "normal", "position": 3, "level": "person"},
        {"type": "position", "urgency": "high", "position": 1},
    ]
    result = await run_module(modules, "chat/conversation.js", body, frames)
    assert result == {
        "position": 1,
        "frames": ["cancel"],
        "stages": ["left", True],
        "waiting": False,
        "pending": 0,
    }


async def test_notices_expire_and_can_be_hidden(modules: Page) -> None:
    """A notice without an expiry stays; a repeated one replaces its former version."""
    body = """
        let state = x.reduce(m.receive, m.initialState());
        const active = state.notices.map((notice) => notice.text);
        state = m.hideNotice(m.expireNotices(state, 200), 'b');
        return [active, state.notices.map((notice) => notice.id), m.shownNotices(state).map((notice) => notice.id)];
    """
    frames = [
        {"type": "notice", "id": "a", "text": "old", "expires_at": 100},
        {"type": "notice", "id": "b", "text": "two", "expires_at": 300},
        {"type": "notice", "id": "c", "text": "three"},
        {"type": "notice", "id": "a", "text": "new", "expires_at": 100},
    ]
    active, left, shown = await run_module(modules, "chat/conversation.js", body, frames)
    assert (active, left, shown) == (["two", "three", "new"], ["b", "c"], ["c"])


@pytest.mark.parametrize("stored", ["", "{", '{"version": 1, "items": []}', '{"version": 2}'])
async def test_unreadable_stored_state_is_replaced_by_the_initial_one(modules: Page, stored: str) -> None:
    """A page with a stored state of another version starts a new conversation."""
    body = "return [m.restore(x), m.initialState()];"
    restored, initial = await run_module(modules, "chat/conversation.js", body, stored)
    assert restored == initial


# -- texts of the chat ---


@pytest.mark.parametrize(
    ("handoff", "text"),
    [
        ({"from": "triage", "to": "billing", "back": False}, "Moved from the front desk to Billing"),
        ({"from": None, "to": "tech_support", "back": False}, "Moved to Tech support"),
        ({"from": "escalation", "to": "billing", "back": True}, "Back with Billing"),
        ({"from": "billing", "to": "person", "back": False}, "A person has taken over"),
    ],
)
async def test_handoff_names_the_specialties(modules: Page, handoff: dict[str, object], text: str) -> None:
    """A return from the queue and a person have texts of their own."""
    assert await run_module(modules, "chat/wording.js", "return m.handoffText(x);", handoff) == text


@pytest.mark.parametrize(
    ("reply", "author"),
    [
        (
            {"specialty": "technical", "agent": "technical-cameras", "title": "Camera technician"},
            {"name": "Technical", "role": "Camera technician"},
        ),
        (
            {"specialty": "technical", "agent": "technical-cameras", "title": ""},
            {"name": "Technical", "role": "Cameras specialist"},
        ),
        ({"specialty": "person", "agent": "Ada", "title": ""}, {"name": "Ada", "role": "Fernwick"}),
        ({"specialty": None, "agent": None, "title": ""}, {"name": "Fernwick", "role": ""}),
    ],
)
async def test_reply_is_attributed_by_the_title_of_its_agent(
    modules: Page, reply: dict[str, object], author: dict[str, object]
) -> None:
    """Without one, by the agent's name in words; people are shown with the company."""
    assert await run_module(modules, "chat/wording.js", "return m.authorOf(x, 'Fernwick');", reply) == author


async def test_escalation_shows_position_and_urgency_while_waiting(modules: Page) -> None:
    """Other stages have a heading only."""
    waiting = {"stage": "waiting", "position": 1, "urgency": "high"}
    body = "return m.escalationText(x);"
    assert await run_module(modules, "chat/wording.js", body, waiting) == {
        "heading": "You are number 1 in the queue",
        "facts": ["a person takes over next", "high urgency"],
    }
    unknown = await run_module(modules, "chat/wording.js", body, {**waiting, "position": None, "urgency": "low"})
    assert unknown["heading"] == "You are in the queue"
    assert len(unknown["facts"]) == 1
    assert (await run_module(modules, "chat/wording.js", body, {**waiting, "stage": "left"}))["facts"] == []


@pytest.mark.parametrize(
    ("state", "link", "action"),
    [
        ({"ended": True}, {"elsewhere": True}, "continueHere"),
        ({"ended": True, "problem": {"message": "Failed."}}, {}, "newConversation"),
        ({"problem": {"message": "Failed."}}, {"state": "reconnecting", "long": True}, "tryNow"),
        ({"problem": {"message": "Failed."}}, {"state": "reconnecting", "long": False}, "dismissProblem"),
        ({"ending": True, "problem": {"message": "Failed."}}, {}, None),
    ],
)
async def test_banner_shows_the_most_important_obstacle(
    modules: Page, state: dict[str, object], link: dict[str, object], action: str | None
) -> None:
    """One obstacle at a time, with the action against it."""
    content = await run_module(modules, "chat/wording.js", "return m.bannerContent(x[0], x[1]);", [state, link])
    assert content.get("action") == action


async def test_specialties_have_colours_in_order_of_appearance(modules: Page) -> None:
    """A handoff changes the colour of the line; a lost conversation ends it."""
    items = [
        {"kind": "own"},
        {"kind": "reply", "specialty": "billing"},
        {"kind": "own"},
        {"kind": "handoff", "from": "billing", "to": "technical"},
        {"kind": "reply", "specialty": "technical"},
        {"kind": "break"},
        {"kind": "own"},
    ]
    hues = await run_module(modules, "chat/line-hues.js", "return m.lineHues(x);", items)
    assert [entry["hue"] for entry in hues] == [None, 0, 0, 0, 1, None, None]
    assert [entry["hueTo"] for entry in hues] == [None, None, None, 1, None, None, None]


# -- Markdown and quotes ---


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
    assert await run_module(modules, "shared/markdown-parser.js", "return m.parseBlocks(x);", source) == blocks


async def test_lists_keep_their_start_and_their_nesting(modules: Page) -> None:
    """An ordered list that begins with 3, with a list inside an item."""
    (block,) = await run_module(
        modules, "shared/markdown-parser.js", "return m.parseBlocks(x);", "3. three\n   - inner\n4. four"
    )
    assert (block["ordered"], block["start"], len(block["items"])) == (True, 3, 2)
    assert [inner["type"] for inner in block["items"][0]] == ["paragraph", "list"]


HOSTILE_ARTICLE = """
![pixel](https://tracker.example/pixel.png) <img src="https://tracker.example/raw.png">
[![both](//tracker.example/b.png)](https://shop.example)

[script](javascript:alert(1)) [data](data:text/html,x) [file](file:///etc/passwd) [path](/v1/ops) [host](//evil.example)

[web](https://shop.example/returns) [mail](mailto:help@shop.example) <iframe src="https://evil.example"></iframe>
"""


async def test_images_and_links_of_an_article_are_inert(modules: Page) -> None:
    """Nothing is loaded; a link opens http, https and mailto only, without opener and referrer."""
    body = """
        const parent = document.createElement('div');
        m.renderMarkdown(parent, x, { links: true });
        const tags = [...parent.querySelectorAll('*')].map((node) => node.localName);
        const links = [...parent.querySelectorAll('a')].map((node) => [node.protocol, node.rel, node.target]);
        return { tags: [...new Set(tags)].sort(), links, text: parent.textContent };
    """
    rendered = await run_module(modules, "shared/markdown.js", body, HOSTILE_ARTICLE)
    assert rendered["tags"] == ["a", "p"]
    assert {protocol for protocol, _, _ in rendered["links"]} == {"https:", "mailto:"}
    assert {(rel, target) for _, rel, target in rendered["links"]} == {("noopener noreferrer", "_blank")}
    assert '<img src="https://tracker.example/raw.png">' in rendered["text"]


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
    assert await run_module(modules, "chat/quote.js", body, [text, quote]) == found


async def test_quote_from_markdown_source_is_found_without_its_ordinals(modules: Page) -> None:
    """A rendered list has no numbers in its text."""
    body = "return m.locateQuote(x[0], x[1], x[1]).map(([from, to]) => x[0].slice(from, to));"
    found = await run_module(
        modules, "chat/quote.js", body, ["Open the app. Hold the button.", "1. Open the app.\n2. Hold"]
    )
    assert found == ["Open the app. Hold"]


# -- names, times, delays ---


async def test_names_and_times_are_readable(modules: Page) -> None:
    """Texts for customers and operators."""
    names = "return [m.prettifyAgent('billing-refunds', 'billing'), m.specialtyName('triage'), m.inSentence('person')];"
    assert await run_module(modules, "shared/names.js", names) == ["Refunds specialist", "Front desk", "a person"]
    times = "return [m.span(45), m.span(4800), m.dueIn(100, 40), m.dueIn(40, 160)];"
    assert await run_module(modules, "shared/times.js", times) == [
        "45 s",
        "1 h 20 min",
        "due in 1 min",
        "2 min overdue",
    ]


async def test_retries_are_delayed_exponentially_with_jitter(modules: Page) -> None:
    """Doubling, capped, and cut by up to half."""
    body = "return [0, 1, 2, 20].map((n) => [m.retryDelay(n, () => 0), m.retryDelay(n, () => 1)]);"
    delays = await run_module(modules, "chat/connection.js", body)
    shortest = [low for low, _ in delays]
    assert shortest == sorted(shortest)
    assert all(high == pytest.approx(2 * low, abs=1) for low, high in delays)
    assert delays[2][1] == 4 * delays[0][1]


# -- imports ---


@pytest.mark.parametrize(
    ("page", "entry"), [("chat/index.html", "chat/main.js"), ("console/console.html", "console/console.js")]
)
async def test_page_preloads_exactly_the_modules_that_it_imports(page: str, entry: str) -> None:
    """A module that is missing in the list costs a round trip per level of imports."""
    preloaded = re.findall(r'rel="modulepreload" href="/assets/([^"]+)"', (PAGE / page).read_text())
    imported: set[str] = set()
    pending = [PAGE / entry]
    while pending:
        module = pending.pop()
        for path in re.findall(r"^(?:import|export|\}) .*?from '([^']+)';", module.read_text(), flags=re.MULTILINE):
            target = (module.parent / path).resolve()
            if target.relative_to(PAGE).as_posix() not in imported:
                imported.add(target.relative_to(PAGE).as_posix())
                pending.append(target)
    assert sorted(preloaded) == sorted(imported)


async def test_every_module_is_type_checked() -> None:
    """`// @ts-check` is the first line."""
    modules = sorted(PAGE.rglob("*.js"))
    assert modules
    assert not [module.name for module in modules if not module.read_text().startswith("// @ts-check\n")]
