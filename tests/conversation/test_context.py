"""Context of a turn: the customer of the message, whom the ingress has identified."""

from __future__ import annotations

import msgspec
from trunkline_conversation.core.state import Conversation, context_of
from trunkline_protocols.context import Fact, Utterance
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.fleet import CustomerPolicy, FactField, Fleet, Reader
from trunkline_protocols.ids import ConversationId

from tests.conversation.builders import FLEET, received
from tests.protocols.sample_parts import AGENT, COMPANY


def test_claims_of_the_message_reach_the_agent() -> None:
    """Customer, tenant, region and tier are those of the identity that the ingress stored with the message."""
    message = msgspec.structs.replace(received(tier="plus"), customer="ada", tenant="acme", region="eu")
    state = Conversation(id=ConversationId("c1"), region="eu", customer="eve", tenant="acme", note="I am customer bob")
    context = context_of(state, message, CustomerKnown(), FLEET)
    assert (context.customer, context.tenant, context.region, context.tier) == ("ada", "acme", "eu", "plus")


def test_known_data_goes_with_the_work_within_what_the_fleet_declares() -> None:
    """A fact of a reader that is gone, a claim that is no longer allowed, and unverified claims are left out."""
    reader = Reader(name="crm", url="https://c.example/{c}", bind={"c": "customer.sub"}, fields={"plan": FactField()})
    policy = CustomerPolicy(claims=["company"], topics={"contracts": {"facts.plan": "Business"}})
    fleet = Fleet(company=COMPANY, agents=[AGENT], readers=[reader], customers=policy)
    plan = Fact(name="plan", value="Plus", read_at=1.0)
    earlier = [Utterance(role="customer", text="Hello")]
    known = CustomerKnown(
        facts=[plan, Fact(name="gone", value="x", read_at=1.0)],
        claims={"company": "Acme", "salary": "1"},
        conversation=ConversationId("c0"),
        earlier=earlier,
    )
    message = msgspec.structs.replace(received(), verified=True)
    state = Conversation(id=ConversationId("c1"), region="eu")
    context = context_of(state, message, known, fleet)
    assert (context.facts, context.claims, context.earlier) == ([plan], {"company": "Acme"}, earlier)
    assert (context.channel, context.verified, context.excluded_topics) == ("web", True, ["contracts"])
    assert context_of(state, received(), known, fleet).claims == {}
    same = msgspec.structs.replace(state, id=ConversationId("c0"))
    assert context_of(same, message, known, fleet).earlier == []
