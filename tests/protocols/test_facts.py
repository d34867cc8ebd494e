"""Facts about a customer: size, freshness, authored texts, conditions, and the consistency of a fleet with them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st
from trunkline_protocols import codec
from trunkline_protocols.context import Context, Fact
from trunkline_protocols.customers import CustomerKnown, Reading, subject_of
from trunkline_protocols.fleet import (
    AuthoredReply,
    Conditions,
    CustomerPolicy,
    EscalationPolicy,
    EscalationRule,
    FactField,
    Fleet,
    Reader,
    Tool,
)
from trunkline_protocols.rules.facts import (
    MAX_FACTS_BYTES,
    RETRY_S,
    active_readers,
    due_readers,
    excluded_topics,
    facts_used,
    filled,
    filled_sentences,
    matches,
    within_limit,
)
from trunkline_protocols.rules.fleet import disallowed_commands, find_defect

from tests.protocols.sample_parts import AGENT, COMPANY

READER = Reader(
    name="shop",
    url="https://shop.example/customers/{customer}",
    bind={"customer": "customer.sub"},
    fields={"plan": FactField(), "orders": FactField(type="table", key="order", text="{status}")},
    fresh_s=300.0,
)
CONTEXT = Context(
    tenant="default",
    region="local",
    locale="en",
    transcript=[],
    tier="business",
    verified=True,
    claims={"company": "Acme"},
    facts=[
        Fact(name="plan", value="Plus", read_at=1.0),
        Fact(name="score", value=3, read_at=1.0),
        Fact(name="is_new", value=False, read_at=1.0),
        Fact(name="orders", value={"FH-1": "sent"}, read_at=1.0),
    ],
)


def fleet(**changes: object) -> Fleet:
    """Return a valid fleet with a reader, changed."""
    base = Fleet(company=COMPANY, agents=[AGENT], readers=[READER], customers=CustomerPolicy(claims=["company"]))
    return msgspec.structs.replace(base, **changes)


@given(st.lists(st.builds(Fact, name=st.text(max_size=40), value=st.text(max_size=300), read_at=st.just(1.0))))
def test_facts_never_exceed_their_size(facts: list[Fact]) -> None:
    """Whatever a reader returns; those that fit stay in their order."""
    kept = within_limit(facts)
    assert len(codec.encode(kept)) <= MAX_FACTS_BYTES
    positions = [next(at for at, fact in enumerate(facts) if fact is each) for each in kept]
    assert positions == sorted(positions)


def test_reader_is_due_after_its_freshness_and_after_a_failure_sooner() -> None:
    """A reader that was never asked is due at once."""
    known = CustomerKnown(readings={"shop": Reading(tried_at=100.0, read_at=100.0)})
    assert due_readers([READER], CustomerKnown(), 0.0) == [READER]
    assert due_readers([READER], known, 399.9) == []
    assert due_readers([READER], known, 400.0) == [READER]
    failed = CustomerKnown(readings={"shop": Reading(tried_at=400.0, read_at=100.0, failure="timeout")})
    assert due_readers([READER], failed, 400.0 + RETRY_S - 0.1) == []
    assert due_readers([READER], failed, 400.0 + RETRY_S) == [READER]


def test_reader_without_an_address_of_the_operator_rests() -> None:
    """Its `url` is a path."""
    resting = msgspec.structs.replace(READER, url="/customers/{customer}")
    assert active_readers(fleet(readers=[resting]), {}) == []
    assert active_readers(fleet(readers=[resting]), {"shop": "http://127.0.0.1:1"}) == [resting]
    assert resting.as_tool("http://127.0.0.1:1/").url == "http://127.0.0.1:1/customers/{customer}"


def test_key_names_no_customer() -> None:
    """Nor is it the same in two tenants."""
    assert "ada" not in subject_of("default", "ada")
    assert subject_of("default", "ada").rpartition(".")[2] != subject_of("other", "ada").rpartition(".")[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You are on {facts.plan}.", "You are on Plus."),
        ("{claims.company}: {facts.score}, {facts.is_new}", "Acme: 3, no"),
        ("{facts.missing}", None),
        ("{facts.orders}", None),
        ("{claims.other}", None),
        ("{position} stays", "{position} stays"),
    ],
)
def test_text_is_filled_with_known_facts_only(text: str, expected: str | None) -> None:
    """A table has no place in a sentence."""
    assert filled(text, CONTEXT) == expected


def test_sentence_without_its_fact_is_left_out() -> None:
    """The others stay as they are."""
    text = "Hello. You are on {facts.plan}. Your birthday is {facts.birthday}! Ask me."
    assert filled_sentences(text, CONTEXT) == "Hello. You are on Plus. Ask me."


def test_value_that_looks_like_a_placeholder_is_not_filled_again() -> None:
    """A value comes from another system."""
    context = msgspec.structs.replace(CONTEXT, facts=[Fact(name="plan", value="{claims.company}", read_at=1.0)])
    assert filled("On {facts.plan}.", context) == "On {claims.company}."


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"tier": "business"}, True),
        ({"tier": "Business"}, True),
        ({"tier": "plus"}, False),
        ({"verified": True}, True),
        ({"verified": False}, False),
        ({"facts.plan": "plus", "tier": "business"}, True),
        ({"facts.plan": "Plus", "tier": "plus"}, False),
        ({"facts.score": 3}, True),
        ({"facts.is_new": False}, True),
        ({"facts.is_new": 0}, False),
        ({"facts.missing": False}, False),
        ({"claims.company": "Acme"}, True),
        ({"facts.orders": "FH-1"}, False),
    ],
)
def test_conditions_hold_together(conditions: Conditions, *, expected: bool) -> None:
    """A value that is not known does not match."""
    assert matches(conditions, CONTEXT) is expected


def test_topics_for_others_are_excluded() -> None:
    """Each by its own conditions."""
    policy = CustomerPolicy(topics={"contracts": {"tier": "business"}, "plus": {"facts.plan": "None"}})
    assert excluded_topics(fleet(customers=policy), CONTEXT) == ["plus"]


def test_record_of_facts_has_names_ages_and_a_hash_but_no_value() -> None:
    """The hash differs by conversation, so that equal facts of two customers cannot be recognised."""
    used = facts_used("c1", CONTEXT.facts, 61.0)
    assert used is not None
    assert used.ages_s == {"plan": 60.0, "score": 60.0, "is_new": 60.0, "orders": 60.0}
    assert b"Plus" not in codec.encode(used)
    other = facts_used("c2", CONTEXT.facts, 61.0)
    assert other is not None
    assert other.sha256 != used.sha256
    assert facts_used("c1", [], 61.0) is None


TABLE_REPLY = AuthoredReply(
    name="status", phrases=["where"], number="FH-#", table="orders", text="{number} {row}", unknown="not yours"
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bind": {"customer": "customer.tenant"}}, "must send customer.sub"),
        ({"url": "https://shop.example/{account}"}, "{account} is not bound"),
        ({"url": "https://{customer}.example/"}, "url must be a host"),
        ({"url": "ftp://shop.example/{customer}"}, "url must start with http"),
        ({"tool": "account"}, "names its tool"),
        ({"kind": "mcp", "url": "https://shop.example/mcp"}, "names its tool"),
        ({"kind": "mcp", "url": "/mcp", "tool": "account"}, "of kind http"),
        ({"secret": "HOSTS"}, "secret must be"),
        ({"fields": {"orders": FactField(type="table")}}, "a table has key and text"),
        ({"fields": {"plan": FactField(key="a", text="{b}")}}, "a table has key and text"),
        ({"fields": {"orders": FactField(type="table", key="a", text="b")}}, "no placeholder"),
    ],
)
def test_inconsistent_reader_is_refused(changes: dict[str, object], reason: str) -> None:
    """With its name and key, before anything is read."""
    defect = find_defect(fleet(readers=[msgspec.structs.replace(READER, **changes)]))
    assert defect is not None
    assert defect.reader == "shop"
    assert reason in defect.reason


def bound_to(source: str) -> Tool:
    """Return a tool with an argument from a source."""
    parameters = {"type": "object", "properties": {"account": {"type": "string"}}}
    return Tool(name="pay", description="d", url="https://pay.example", bind={"account": source}, parameters=parameters)


def replying(**changes: str) -> Fleet:
    """Return a fleet whose agent has a reply, changed."""
    reply = msgspec.structs.replace(TABLE_REPLY, **changes)
    return fleet(agents=[msgspec.structs.replace(AGENT, replies=[reply])])


def ruled(name: str) -> Fleet:
    """Return a fleet with an escalation rule for some customers."""
    rule = EscalationRule(name="vip", phrases=["help"], urgency="high", when={name: "x"})
    return fleet(escalation=EscalationPolicy(rules=[rule]))


@pytest.mark.parametrize(
    ("defective", "reason"),
    [
        (fleet(readers=[READER, READER]), "defined twice"),
        (fleet(tools=[bound_to("facts.account")]), "facts.account is neither"),
        (fleet(tools=[bound_to("claims.account")]), "claims.account is neither"),
        (fleet(tools=[bound_to("facts.orders")]), "is a table"),
        (replying(table="plan"), "no table of a reader"),
        (replying(unknown=""), "belong together"),
        (replying(number="FH"), "stands for a digit"),
        (replying(text="{facts.birthday}"), "{facts.birthday} is neither"),
        (ruled("facts.birthday"), "facts.birthday is neither"),
        (fleet(customers=CustomerPolicy(topics={"contracts": {"tier": "x"}})), "no agent has the topic"),
        (fleet(customers=CustomerPolicy(topics={"company": {"claims.x": "y"}})), "claims.x is neither"),
    ],
)
def test_use_of_an_unknown_fact_is_refused(defective: Fleet, reason: str) -> None:
    """A misspelt name would otherwise never match, and nothing would say so."""
    defect = find_defect(defective)
    assert defect is not None
    assert reason in defect.reason


def test_consistent_uses_are_accepted() -> None:
    """Each of those above, spelt right."""
    for valid in (
        fleet(tools=[bound_to("facts.plan")]),
        fleet(tools=[bound_to("claims.company")]),
        replying(),
        ruled("facts.plan"),
        ruled("tier"),
        fleet(customers=CustomerPolicy(topics={"company": {"tier": "x"}})),
    ):
        assert find_defect(valid) is None


def test_command_of_a_reader_needs_the_operators_permission() -> None:
    """As that of a tool: a fleet is not code."""
    reader = msgspec.structs.replace(READER, kind="mcp", url="", command=["crm-mcp"], tool="account")
    assert find_defect(fleet(readers=[reader])) is None
    assert [tool.name for tool in disallowed_commands(fleet(readers=[reader]), [])] == ["shop"]
    assert disallowed_commands(fleet(readers=[reader]), [["crm-mcp"]]) == []
