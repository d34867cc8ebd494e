"""Pure modules of the console."""

from __future__ import annotations

import re
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


ENTRY: dict[str, object] = {
    "conversation": "c1",
    "customer": "web-0123456789abcdef0123456789abcdef",
    "tenant": "default",
    "urgency": "high",
    "reason": "asked_for_person",
    "summary": "",
    "since": 1_000,
    "due_at": 1_100,
    "position": 1,
    "claimed_by": "",
    "breaches": 0,
    "last_message": "It smells\nof smoke",
    "messages": 3,
    "unanswered": 1,
    "gone_since": 0,
}


async def test_queue_is_divided_into_own_waiting_and_others_conversations(modules: Page) -> None:
    """Within each group the server's order stays."""
    owners = {"a": "", "b": "Bob", "c": "Ada", "d": "", "e": "Bob", "f": "Ada"}
    entries = [{**ENTRY, "conversation": name, "claimed_by": owner} for name, owner in owners.items()]
    body = (
        "return [m.ownEntries(x, 'Ada'), m.waitingEntries(x), m.othersEntries(x, 'Ada')]"
        ".map((all) => all.map((one) => one.conversation));"
    )
    assert await run_module(modules, "console/queue.js", body, entries) == [["c", "f"], ["a", "d"], ["b", "e"]]


@pytest.mark.parametrize(
    ("changes", "now", "expected"),
    [
        ({}, 1_025, {"position": "1", "customer": "Visitor 0123", "message": "It smells\nof smoke"}),
        ({}, 1_025, {"since": "waiting 25 s", "due": "due in 1 min", "overdue": False, "slaPercent": 25}),
        ({}, 1_400, {"due": "5 min overdue", "overdue": True, "slaPercent": 100}),
        ({}, 990, {"since": "waiting 0 s", "slaPercent": 0}),
        ({"last_message": ""}, 1_025, {"message": "Asked for person"}),
        ({"position": 0, "claimed_by": "Ada"}, 1_060, {"position": "", "since": "escalated 1 min ago"}),
        ({}, 1_025, {"gone": ""}),
        ({"claimed_by": "Bob"}, 1_060, {"since": "with Bob · escalated 1 min ago"}),
    ],
)
async def test_queue_entry_shows_its_owner_and_deadline(
    modules: Page, changes: dict[str, object], now: int, expected: dict[str, object]
) -> None:
    """The bar shows the used part of the SLA."""
    texts = await run_module(
        modules, "console/queue.js", "return m.describeEntry(x[0], 'Ada', x[1]);", [ENTRY | changes, now]
    )
    assert {name: texts[name] for name in expected} == expected


async def test_customer_who_is_gone_is_described_with_the_time(modules: Page) -> None:
    """In the queue and in the open conversation, where the operator also learns that a reply is not lost."""
    gone = {**ENTRY, "gone_since": 1_000, "claimed_by": "Ada"}
    texts = await run_module(modules, "console/queue.js", "return m.describeEntry(x, 'Ada', 1050);", gone)
    assert re.fullmatch(r"gone since \d\d:\d\d", texts["gone"])
    body = "return [m.factsText(x, false, 1050), m.standingText(x, false, 'Ada')];"
    facts, standing = await run_module(modules, "console/case-texts.js", body, gone)
    assert facts.endswith(texts["gone"])
    assert "on return" in standing


@pytest.mark.parametrize(
    ("messages", "unanswered", "read", "unread"), [(3, 1, 0, 1), (3, 1, 3, 0), (5, 3, 3, 2), (5, 0, 1, 0), (2, 1, 4, 0)]
)
async def test_message_is_unread_until_it_is_read_or_answered(
    modules: Page, messages: int, unanswered: int, read: int, unread: int
) -> None:
    """A browser without marks counts the unanswered messages; a stale mark never counts below zero."""
    body = "return m.unreadOf(x[0], x[1]);"
    entry = {**ENTRY, "messages": messages, "unanswered": unanswered}
    assert await run_module(modules, "console/read-marks.js", body, [entry, read]) == unread


async def test_alerts_report_new_messages_and_new_conversations_only(modules: Page) -> None:
    """A breach that returns a claimed conversation to the queue is new again; an answered message is not."""
    body = (
        "const states = (all) => new Map(all.map(([id, waiting, unread]) => [id, { waiting, unread }]));"
        "return m.alertTexts(states(x[0]), states(x[1]), (id) => id.toUpperCase());"
    )
    before = [["a", True, 0], ["b", False, 1], ["c", False, 2], ["d", False, 0]]
    after = [["a", True, 0], ["b", False, 2], ["c", False, 0], ["d", True, 0], ["e", True, 0]]
    assert await run_module(modules, "console/alerts.js", body, [before, after]) == [
        "New message from B",
        "D is waiting for a person",
        "E is waiting for a person",
    ]


@pytest.mark.parametrize(
    ("unread", "waiting", "text"), [(0, 0, ""), (2, 0, "2 unread"), (0, 1, "1 waiting"), (2, 1, "2 unread, 1 waiting")]
)
async def test_counts_are_read_out_in_words(modules: Page, unread: int, waiting: int, text: str) -> None:
    """Zero counts are omitted."""
    counts = {"unread": unread, "waiting": waiting}
    assert await run_module(modules, "console/queue.js", "return m.countsText(x);", counts) == text


@pytest.mark.parametrize(
    ("uncertain", "updated_at", "pattern"),
    [
        (True, 1_000, r"No route\. The list is as of \d\d:\d\d:40\. Trying again\."),
        (True, 0, r"No route\. Trying again\."),
        (False, 1_000, r"No route\."),
    ],
)
async def test_failure_says_how_old_the_queue_is(
    modules: Page, updated_at: int, pattern: str, *, uncertain: bool
) -> None:
    """A rejected request is not sent again."""
    body = "return m.failureText(x[0], x[1], 1_060);"
    failure = {"message": "No route.", "uncertain": uncertain}
    assert re.fullmatch(pattern, await run_module(modules, "console/queue.js", body, [failure, updated_at]))


async def test_item_to_review_is_described_in_one_line(modules: Page) -> None:
    """Time, rating, the way through the fleet, tenant."""
    item = {"at": 1_000, "specialty": "billing", "to": "escalation", "rating": 0, "tenant": "shop"}
    body = "return m.reviewFacts(x, 1_060);"
    moved = await run_module(modules, "console/review-texts.js", body, item)
    assert re.fullmatch(r"\d\d:\d\d · Billing → Senior team · shop", moved)
    rated = await run_module(
        modules, "console/review-texts.js", body, item | {"to": "", "specialty": "", "rating": 2, "tenant": "default"}
    )
    assert re.fullmatch(r"\d\d:\d\d · rated 2 of 5", rated)


async def test_known_data_about_a_customer_is_one_row_per_fact(modules: Page) -> None:
    """Rows of a table by their key, a failed reader with its reason; nothing is shown if nothing is known."""
    body = "return m.customerRows(x).map(({ name, value, age }) => `${name}: ${value} (${age})`);"
    nothing = {"facts": [], "readings": [{"reader": "shop", "age_s": 5, "failure": ""}], "claims": {}}
    case = {"customer": nothing, "channel": "web", "locale": "en", "tier": "", "verified": False}
    assert await run_module(modules, "console/case-texts.js", body, case) == []
    assert await run_module(modules, "console/case-texts.js", body, {**case, "customer": None}) == [
        "Customer data: cannot be read now ()",
        "Channel: web, en ()",
    ]
    known = {
        "facts": [
            {"name": "plan", "value": "Plus", "age_s": 65},
            {"name": "is_new", "value": False, "age_s": 1},
            {"name": "orders", "value": {"FH-10041": "sent"}, "age_s": 1},
        ],
        "readings": [{"reader": "crm", "age_s": 3, "failure": "no_answer"}],
        "claims": {"company": "Acme"},
    }
    assert await run_module(modules, "console/case-texts.js", body, {**case, "customer": known, "verified": True}) == [
        "Plan: Plus (read 1 min ago)",
        "Is new: false (read 1 s ago)",
        "FH-10041: sent (read 1 s ago)",
        "Company: Acme ()",
        "Crm: not read: No answer (3 s ago)",
        "Identity: verified by an access token ()",
        "Channel: web, en ()",
    ]


async def test_open_conversation_is_described_in_one_line(modules: Page) -> None:
    """Reason, deadline, earlier breaches and tenant."""
    body = "return m.factsText(x[0], x[1], 1050);"
    for entry, closed, text in (
        (None, False, "With the agents"),
        (None, True, "Closed"),
        (ENTRY, False, "Asked for person · waiting 50 s · due in 50 s"),
        (
            {**ENTRY, "breaches": 1, "tenant": "shop"},
            False,
            "Asked for person · waiting 50 s · due in 50 s · 1 earlier SLA breach · shop",
        ),
        (
            {**ENTRY, "claimed_by": "Ada", "breaches": 2},
            False,
            "Asked for person · reply due in 50 s · 2 earlier SLA breaches",
        ),
    ):
        assert await run_module(modules, "console/case-texts.js", body, [entry, closed]) == text


@pytest.mark.parametrize(
    ("claimed_by", "closed", "text"),
    [
        ("", False, ""),
        ("Ada", False, ""),
        ("Bob", False, "Bob has claimed this conversation."),
        ("Ada", True, "This conversation is closed."),
    ],
)
async def test_desk_explains_why_an_operator_cannot_write(
    modules: Page, claimed_by: str, text: str, *, closed: bool
) -> None:
    """Unclaimed conversations and one's own need no explanation."""
    entry = {**ENTRY, "claimed_by": claimed_by}
    body = "return m.standingText(x[0], x[1], 'Ada');"
    assert await run_module(modules, "console/case-texts.js", body, [entry, closed]) == text


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("no address", []),
        ("See https://a.example/b?c=1.", ["https://a.example/b?c=1"]),
        ("(http://a.example), https://b.example/x_(y)!", ["http://a.example", "https://b.example/x_(y)"]),
        ("javascript:alert(1) ftp://a.example", []),
        ("**https://a.example/**", ["https://a.example/"]),
    ],
)
async def test_addresses_in_texts_become_links(modules: Page, text: str, addresses: list[str]) -> None:
    """Without the punctuation behind them, with safe schemes only, and without loss of text."""
    parts = await run_module(modules, "console/links.js", "return m.splitAddresses(x);", text)
    assert [part["text"] for part in parts if part["isAddress"]] == addresses
    assert "".join(part["text"] for part in parts) == text


async def test_summary_is_split_by_specialty(modules: Page) -> None:
    """A line without a specialty stays whole."""
    summary = "customer: charged twice: why?\n\nA note: with a space"
    assert await run_module(modules, "console/case-texts.js", "return m.summaryLines(x);", summary) == [
        {"specialty": "customer", "text": "charged twice: why?"},
        {"specialty": "", "text": "A note: with a space"},
    ]


async def test_receipts_are_counted_and_listed(modules: Page) -> None:
    """Complete if no live process is missing."""
    body = "return m.receiptTexts(x);"
    pending = await run_module(modules, "console/notice-texts.js", body, {"received_by": ["a", "b"], "missing": ["c"]})
    assert pending == {
        "complete": False,
        "summary": "2 of 3 processes have confirmed it",
        "processes": "Pending: c. Confirmed: a, b.",
    }
    complete = await run_module(modules, "console/notice-texts.js", body, {"received_by": ["a", "b"], "missing": []})
    assert (complete["complete"], complete["summary"]) == (True, "All 2 processes have confirmed it")
    assert await run_module(modules, "console/notice-texts.js", "return m.splitList(' a, b,,c ');") == ["a", "b", "c"]


async def test_fleet_shows_which_processes_have_loaded_the_current_version(modules: Page) -> None:
    """A process with another version is pending."""
    body = "return m.loadedText(x);"
    text = await run_module(modules, "console/suite-texts.js", body, {"version": 3, "loaded_by": {"a": 3, "b": 2}})
    assert text == "1 of 2 processes have loaded version 3; pending: b"
    text = await run_module(modules, "console/suite-texts.js", body, {"version": 3, "loaded_by": {"a": 3, "b": 3}})
    assert text == "All 2 processes that use the fleet have loaded version 3"


async def test_trace_steps_are_classified_and_have_gaps(modules: Page) -> None:
    """The gap is the time since the previous step."""
    steps = [
        {"at": 1, "from": "customer", "to": "ingress", "type": "turn.received"},
        {"at": 4, "from": "conversation", "to": "log", "type": "commit"},
        {"at": 4, "from": "person Ada", "to": "conversation", "type": "desk.claim"},
        {"at": 9, "from": "conversation", "to": "agents", "type": "turn.answer"},
    ]
    body = "return m.withGaps(x).map(({ step, gap }) => [m.stepKind(step), gap]);"
    found = await run_module(modules, "console/suite-texts.js", body, steps)
    assert found == [["customer", 0], ["commit", 3], ["person", 0], ["internal", 5]]


async def test_record_of_a_step_has_its_fields_and_its_place(modules: Page) -> None:
    """Empty fields are left out; values are texts as they are, or JSON."""
    step = {
        "detail": {"from_agent": "a", "cost": 0, "notices": [], "title": "", "usage": {"cost": 1}, "facts": None},
        "stream": "CONVERSATIONS",
        "sequence": 7,
        "leaf": 41,
    }
    body = "return [m.recordFields(x), m.recordFields({ ...x, leaf: null }).at(-1)];"
    fields, unproven = await run_module(modules, "console/suite-texts.js", body, step)
    assert fields == [
        ["from agent", "a"],
        ["cost", "0"],
        ["usage", '{"cost":1}'],
        ["record", "CONVERSATIONS 7, leaf 41 of the tree of records"],
    ]
    assert unproven == ["record", "CONVERSATIONS 7, not proven"]


async def test_proof_of_a_trace_has_a_state(modules: Page) -> None:
    """A fault outweighs everything else."""
    proofs = [
        {"records": 3, "proven": 3, "faults": []},
        {"records": 3, "proven": 2, "faults": []},
        {"records": 3, "proven": 0, "faults": []},
        {"records": 3, "proven": 3, "faults": ["f"]},
    ]
    found = await run_module(modules, "console/suite-texts.js", "return x.map(m.proofState);", proofs)
    assert found == ["proven", "partly", "unproven", "faulty"]


async def test_drafts_and_unconfirmed_replies_survive_a_reload(modules: Page) -> None:
    """The reply keeps its id; an empty draft is removed."""
    body = """
        const reply = { id: 'r1', text: 'Hello', state: 'sending', reason: '' };
        new m.Drafts().set('c1', { draft: '', reply });
        const restored = new m.Drafts().of('c1');
        new m.Drafts().set('c1', { reply: null });
        return { restored: restored.reply.id, left: new m.Drafts().of('c1'), stored: sessionStorage.length };
    """
    result = await run_module(modules, "console/drafts.js", body)
    assert result["restored"] == "r1"
    assert result["left"] == {"draft": "", "reply": None}


@pytest.mark.parametrize(
    ("entry", "author"),
    [
        ({"role": "customer"}, {"name": "Visitor 0123", "role": ""}),
        ({"role": "person", "author": "Ada"}, {"name": "Ada", "role": ""}),
        ({"role": "note", "author": "Ada"}, {"name": "Ada", "role": "Internal note"}),
        (
            {"role": "agent", "author": "tech-cams", "specialty": "tech_support", "title": "Camera technician"},
            {"name": "Tech support", "role": "Camera technician"},
        ),
        (
            {"role": "agent", "author": "tech-cams", "specialty": "tech_support", "title": ""},
            {"name": "Automatic message", "role": ""},
        ),
    ],
)
async def test_message_of_a_case_names_its_author(
    modules: Page, entry: dict[str, object], author: dict[str, object]
) -> None:
    """A text of the system is not attributed to the agent that owns the conversation."""
    assert (
        await run_module(modules, "console/case-texts.js", "return m.authorOfEntry(x, 'Visitor 0123');", entry)
        == author
    )


async def test_sources_of_a_case_are_listed_once_with_their_numbers(modules: Page) -> None:
    """By article, as the customer sees them."""
    body = """
        const { groupSources } = await import('/shared/sources.js');
        return m.sourcesText(groupSources(x));
    """
    cited = [
        {"document": document, "title": document.title(), "quote": quote}
        for document, quote in (("returns", "A."), ("refunds", "B."), ("returns", "C."))
    ]
    assert await run_module(modules, "console/case-texts.js", body, cited) == "Sources: [1] Returns; [2] Refunds"
