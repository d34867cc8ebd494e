"""Pure modules of the chat page: the conversation and its texts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.support.page_modules import open_modules, run_module

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


async def test_message_refused_under_overload_waits_as_long_as_the_server_demands(modules: Page) -> None:
    """Then it is sent again under its id."""
    body = """
        const error = { type: 'error', code: 'unavailable', retryable: true, id: 'm1', retry_after_s: 7.5 };
        const state = m.receive(m.compose(m.receive(m.initialState(), x), 'm1', 'How long?'), error);
        return { held: m.heldMessages(state).map(({ id, waitMs }) => [id, waitMs]),
                 again: m.outbox(m.retry(state, 'm1')).map(({ frame }) => frame.id) };
    """
    result = await run_module(modules, "chat/conversation.js", body, TURN[0])
    assert result == {"held": [["m1", 7_500]], "again": ["m1"]}


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


async def test_person_is_requested_once_until_the_queue_is_left(modules: Page) -> None:
    """The request is a message of its own type in the outbox; each step has its text beside the button."""
    body = """
        let state = m.requestPerson(m.receive(m.initialState(), x[0]), 'p1', 5);
        const frames = m.outbox(state).map((entry) => entry.frame);
        const texts = [w.personText(state)];
        for (const frame of x.slice(1)) {
            state = m.requestPerson(m.receive(state, frame), 'p2', 6);
            texts.push(w.personText(state));
        }
        return { frames, texts, own: state.items.filter((item) => item.kind === 'own').map((item) => item.id) };
    """
    body = f"const w = await import('/chat/wording.js'); {body}"
    note = {"type": "message", "turn": "t", "seq": 4, "text": "Wait.", "specialty": "billing", "in_reply_to": "p1"}
    frames: list[dict[str, object]] = [
        TURN[0],
        {"type": "accepted", "id": "p1", "seq": 2},
        {"type": "escalated", "turn": "t", "seq": 3, "urgency": "normal", "position": 2, "level": "person"},
        note,
        {"type": "handoff", "turn": "t", "seq": 5, "from": "escalation", "to": "person"},
        {"type": "position", "urgency": "normal", "position": 0, "claimed_by": "Ada"},
        {"type": "handoff", "turn": "t", "seq": 6, "from": "person", "to": "billing"},
    ]
    result = await run_module(modules, "chat/conversation.js", body, frames)
    assert result["frames"] == [{"type": "request_person", "id": "p1", "text": "I would like to talk to a person."}]
    assert result["texts"] == [
        *["Asking for a person"] * 2,
        *["You are number 2 in the queue"] * 2,
        "You are talking to a person",
        "You are talking to Ada",
        "Asking for a person",
    ]
    assert result["own"] == ["p1", "p2"]


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


async def test_notice_with_the_text_of_another_one_is_shown_and_hidden_once(modules: Page) -> None:
    """Two operators published it; hiding one of them hides both."""
    body = """
        let state = x.reduce(m.receive, m.initialState());
        const shown = m.shownNotices(state).map((notice) => notice.id);
        state = m.hideNotice(state, shown[0]);
        return [shown, m.shownNotices(state).map((notice) => notice.id)];
    """
    frames = [
        {"type": "notice", "id": "a", "text": "Cards fail."},
        {"type": "notice", "id": "b", "text": "Deliveries are late."},
        {"type": "notice", "id": "c", "text": "Cards fail."},
    ]
    shown, left = await run_module(modules, "chat/conversation.js", body, frames)
    assert (shown, left) == (["b", "c"], ["c"])


async def test_notices_stay_through_a_reconnect_unless_they_were_recalled_meanwhile(modules: Page) -> None:
    """They are never removed and shown again, which a screen reader would announce."""
    body = """
        let state = x.reduce(m.receive, m.initialState());
        const before = m.shownNotices(state).map((notice) => notice.id);
        state = m.receive(state, { type: 'resumed', conversation: 'c1', recovered: true });
        const after = m.shownNotices(state).map((notice) => notice.id);
        state = m.dropStaleNotices(m.receive(state, x[1]));
        return [before, after, m.shownNotices(state).map((notice) => notice.id)];
    """
    frames = [TURN[0], {"type": "notice", "id": "a", "text": "one"}, {"type": "notice", "id": "b", "text": "two"}]
    assert await run_module(modules, "chat/conversation.js", body, frames) == [["a", "b"], ["a", "b"], ["a"]]


async def test_low_rating_is_sent_at_once_and_its_reason_later(modules: Page) -> None:
    """A good rating has no question; a further message ends the question."""
    body = """
        const asks = [1, 2, 3].map((rating) => m.asksForReason(m.rate(m.initialState(), rating)));
        let state = m.rate(x.reduce(m.receive, m.initialState()), 2);
        const written = m.compose(state, 'm2', 'And?');
        state = m.explainRating(m.explainRating(state, 'Too slow.'), 'Twice.');
        return { asks, after: m.asksForReason(state), written: m.asksForReason(written),
                 frames: m.outbox(state).map((entry) => entry.frame) };
    """
    result = await run_module(modules, "chat/conversation.js", body, TURN)
    assert (result["asks"], result["after"], result["written"]) == ([True, True, False], False, False)
    assert result["frames"] == [
        {"type": "feedback", "rating": 2},
        {"type": "feedback", "rating": 2, "text": "Too slow."},
    ]


@pytest.mark.parametrize(
    ("stored", "elsewhere", "steps"),
    [
        ("fresh", False, {"fresh": "ignore", "open": "follow", "ended": "end"}),
        ("open", False, {"fresh": "ignore", "open": "ignore", "ended": "ignore"}),
        ("open", True, {"fresh": "reset", "open": "follow", "ended": "end"}),
        ("ended", False, {"fresh": "reset", "open": "follow", "ended": "end"}),
    ],
)
async def test_tab_follows_the_one_that_continues_the_conversation(
    modules: Page, stored: str, steps: dict[str, str], *, elsewhere: bool
) -> None:
    """A tab with an open conversation of its own ignores others; `stored` is the state of this tab."""
    body = """
        const c = await import('/chat/conversation.js');
        const opened = c.compose(c.receive(c.initialState(), x[2]), 'm1', 'How long?');
        const states = { fresh: c.initialState(), open: opened, ended: { ...opened, ended: true } };
        const steps = Object.entries(states).map(([name, state]) => [name, m.onStored(states[x[0]], state, x[1])]);
        return Object.fromEntries(steps);
    """
    assert await run_module(modules, "chat/tabs.js", body, [stored, elsewhere, TURN[0]]) == steps


async def test_page_without_a_conversation_never_erases_the_stored_one(modules: Page) -> None:
    """Nor does a tab that follows another one."""
    body = """
        const c = await import('/chat/conversation.js');
        const opened = c.compose(c.initialState(), 'm1', 'How long?');
        const fresh = c.initialState();
        return [[fresh, false, opened], [fresh, false, fresh], [opened, false, opened], [opened, true, opened]]
            .map(([state, elsewhere, stored]) => m.mayStore(state, elsewhere, () => stored));
    """
    assert await run_module(modules, "chat/tabs.js", body) == [False, True, True, False]


async def test_conversation_is_restored_for_its_owner_only(modules: Page) -> None:
    """Another customer in the same browser begins without it."""
    body = """
        const stored = m.serialise(m.compose(m.initialState('ada'), 'm1', 'How long?'));
        const restored = ['ada', 'bob', ''].map((owner) => m.restore(stored, owner));
        return restored.map((state) => [state.owner, state.items.length]);
    """
    result = await run_module(modules, "chat/conversation.js", body)
    assert result == [["ada", 1], ["bob", 0], ["", 0]]


@pytest.mark.parametrize("stored", ["", "{", '{"version": 1, "items": []}', '{"version": 3}'])
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
        ({"specialty": "technical", "agent": "technical-cameras", "title": ""}, {"name": "Fernwick", "role": ""}),
        ({"specialty": "triage", "agent": "", "title": ""}, {"name": "Fernwick", "role": ""}),
        ({"specialty": "technical", "agent": None, "title": ""}, {"name": "Technical", "role": ""}),
        ({"specialty": "person", "agent": "Ada", "title": ""}, {"name": "Ada", "role": "Fernwick"}),
        ({"specialty": None, "agent": None, "title": ""}, {"name": "Fernwick", "role": ""}),
    ],
)
async def test_reply_is_attributed_by_the_title_of_its_agent(
    modules: Page, reply: dict[str, object], author: dict[str, object]
) -> None:
    """A text of the system has none and is the company's; an answer that streams is the specialty's."""
    assert await run_module(modules, "chat/wording.js", "return m.authorOf(x, 'Fernwick');", reply) == author


async def test_customer_reads_who_has_ended_the_conversation(modules: Page) -> None:
    """In the second person; other reasons are those of the desk."""
    body = "return x.map(m.endText);"
    reasons = ["ended by the customer", "solved", "The parcel is on its way.", ""]
    texts = await run_module(modules, "chat/wording.js", body, reasons)
    assert texts == ["you ended it", "Solved", "The parcel is on its way.", ""]


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
