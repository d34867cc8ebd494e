"""Facts from the answers of readers, which may be wrong or hostile, and authored replies with them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st
from trunkline_agents.core.bindings import bound_values
from trunkline_agents.core.facts import (
    MAX_ROWS,
    MAX_TEXT_CHARACTERS,
    ReaderAnswer,
    UnreadableAnswerError,
    after_readings,
    parse_facts,
)
from trunkline_agents.core.replies import authored_reply, replying_agent
from trunkline_agents.core.tools import ArgumentsError
from trunkline_protocols import codec
from trunkline_protocols.context import Context, Fact
from trunkline_protocols.customers import CustomerKnown, Reading
from trunkline_protocols.fleet import Agent, AuthoredReply, FactField, Fleet, KnowledgeFilter, Reader, Tool
from trunkline_protocols.rules.facts import MAX_FACTS_BYTES

from tests.protocols.sample_parts import COMPANY

READER = Reader(
    name="shop",
    url="https://shop.example/{customer}",
    bind={"customer": "customer.sub"},
    fields={
        "plan": FactField(path="subscription.plan"),
        "score": FactField(type="number"),
        "is_new": FactField(type="flag"),
        "orders": FactField(type="table", key="order", text="{status}, expected {expected}"),
    },
)
STATUS = AuthoredReply(
    name="order-status",
    phrases=["where is"],
    number="FH-#####",
    table="orders",
    text="Your order {number} {row}.",
    unknown="{number} is not one of your orders.",
)
PLAN = AuthoredReply(name="plan", phrases=["my plan"], text="You are on {facts.plan}.")


def facts_of(body: Any) -> dict[str, Any]:
    return {fact.name: fact.value for fact in parse_facts(READER, msgspec.json.encode(body).decode(), now=1.0)}


def test_facts_are_taken_by_path_name_and_type() -> None:
    """Everything else in the answer is left where it is."""
    orders = [{"order": "FH-10041", "status": "sent", "expected": 3, "internal": "x"}]
    body = {"subscription": {"plan": " Plus\n"}, "score": 2.5, "is_new": True, "orders": orders, "notes": "secret"}
    assert facts_of(body) == {"plan": "Plus", "score": 2.5, "is_new": True, "orders": {"FH-10041": "sent, expected 3"}}


@pytest.mark.parametrize(
    "body",
    [
        {"subscription": "Plus", "score": "3", "is_new": 1, "orders": {"FH-1": "sent"}},
        {"subscription": {"plan": True}, "score": True, "is_new": "yes", "orders": "none"},
        {"subscription": {"plan": None}, "score": None, "orders": None},
        {"score": 1e300},
    ],
)
def test_value_of_another_type_is_left_out(body: dict[str, Any]) -> None:
    """It is not converted: a text of a number may be anything."""
    assert facts_of(body) == {}


@pytest.mark.parametrize("answer", ["[]", "17", '"Plus"', "<html>", '{"plan": '])
def test_answer_that_is_no_object_is_unreadable(answer: str) -> None:
    """The last facts stay."""
    with pytest.raises(UnreadableAnswerError):
        parse_facts(READER, answer, now=1.0)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=30) | st.dictionaries(st.sampled_from(["plan", "order", "status"]), inner)
        ),
        max_leaves=30,
    )
)
def test_no_answer_makes_facts_that_are_long_or_have_lines(value: Any) -> None:
    """Each of them is one line of limited length, all together within their size."""
    fields = {
        "subscription": {"plan": value},
        "score": value,
        "is_new": value,
        "orders": [{"order": value, "status": value, "expected": value}] * (MAX_ROWS + 5),
    }
    try:
        found = parse_facts(READER, msgspec.json.encode(fields).decode(), now=1.0)
    except UnreadableAnswerError:
        return
    known = after_readings(CustomerKnown(), [ReaderAnswer(READER, found)], now=1.0)
    assert len(codec.encode(known.facts)) <= MAX_FACTS_BYTES
    for fact in known.facts:
        texts = fact.value.values() if isinstance(fact.value, dict) else [fact.value]
        for text in texts:
            assert not isinstance(text, str) or (text.isprintable() and len(text) <= 3 * MAX_TEXT_CHARACTERS)


def test_failed_reading_leaves_the_last_facts_with_their_age() -> None:
    """A success replaces them, and those that are gone from the answer go."""
    facts = [Fact(name="plan", value="Plus", read_at=1.0), Fact(name="other", value="x", read_at=1.0)]
    known = CustomerKnown(facts=facts, readings={"shop": Reading(tried_at=1.0, read_at=1.0)}, reader="a-1")
    failed = after_readings(known, [ReaderAnswer(READER, failure="timeout")], now=50.0)
    assert failed.facts == facts
    assert failed.readings["shop"] == Reading(tried_at=50.0, read_at=1.0, failure="timeout")
    assert failed.reader == ""
    read = after_readings(failed, [ReaderAnswer(READER, [Fact(name="score", value=1, read_at=60.0)])], now=60.0)
    assert [fact.name for fact in read.facts] == ["other", "score"]
    assert read.readings["shop"] == Reading(tried_at=60.0, read_at=60.0)


# -- replies and bound arguments ---


def context(*facts: Fact) -> Context:
    return Context(
        tenant="t",
        region="r",
        locale="en",
        transcript=[],
        customer="ada",
        facts=list(facts),
        claims={"company": "Acme"},
    )


ORDERS = Fact(name="orders", value={"FH-10041": "is on its way"}, read_at=1.0)
AGENT = Agent(
    name="delivery",
    specialty="returns",
    title="Delivery",
    description="d",
    tone="t",
    hand_off_to=[],
    examples=["x"] * 10,
    knowledge=KnowledgeFilter(topics=["delivery"]),
    replies=[STATUS, PLAN],
)
FLEET = Fleet(company=COMPANY, agents=[AGENT], readers=[READER])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where is order FH-10041?", "Your order FH-10041 is on its way."),
        ("where  is my fh-10041", "Your order FH-10041 is on its way."),
        ("Where is order FH-99999?", "FH-99999 is not one of your orders."),
        (
            "Where is FH-10041 and where is FH-99999?",
            "Your order FH-10041 is on its way. FH-99999 is not one of your orders.",
        ),
        ("I want to return FH-10041", ""),
        ("Where is FH-100411?", ""),
        ("Where is XFH-10041?", ""),
        ("Where is order 10041?", ""),
        ("What is my plan?", ""),
    ],
)
def test_order_is_answered_for_its_owner_and_refused_for_others(text: str, expected: str) -> None:
    """Only the customer's own table is looked at; without a plan there is no reply about it."""
    assert authored_reply(AGENT, text, context(ORDERS)) == expected


def test_without_facts_there_is_no_reply() -> None:
    """The articles answer, and an order is not refused because a reader is down."""
    assert authored_reply(AGENT, "Where is order FH-10041?", context()) == ""
    known = context(Fact(name="plan", value="Plus", read_at=1.0))
    assert authored_reply(AGENT, "what's My  PLAN", known) == "You are on Plus."


def test_message_with_a_number_goes_to_the_agent_that_replies() -> None:
    """Unless the reader of its table rests."""
    text = "Where is order FH-10041?"
    assert replying_agent(FLEET, text, {}, "triage") == AGENT
    assert replying_agent(FLEET, "Where is my order?", {}, "triage") is None
    resting = msgspec.structs.replace(FLEET, readers=[msgspec.structs.replace(READER, url="/{customer}")])
    assert replying_agent(resting, text, {}, "triage") is None
    assert replying_agent(resting, text, {"shop": "http://127.0.0.1:1"}, "triage") == AGENT


def tool(source: str) -> Tool:
    return Tool(name="pay", description="d", url="https://pay.example", bind={"account": source})


def test_arguments_are_bound_to_facts_and_claims() -> None:
    """A number stays a number."""
    known = context(Fact(name="account", value="a-17", read_at=1.0), Fact(name="score", value=3, read_at=1.0), ORDERS)
    assert bound_values(tool("facts.account"), known) == {"account": "a-17"}
    assert bound_values(tool("facts.score"), known) == {"account": 3}
    assert bound_values(tool("claims.company"), known) == {"account": "Acme"}
    for missing in ("facts.plan", "claims.other", "facts.orders"):
        with pytest.raises(ArgumentsError, match=missing):
            bound_values(tool(missing), known)
