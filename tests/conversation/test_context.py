"""Context of a turn: the customer of the message, whom the ingress has identified."""

from __future__ import annotations

import msgspec
from trunkline_conversation.core.state import Conversation, context_of
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.ids import ConversationId

from tests.conversation.builders import received


def test_claims_of_the_message_reach_the_agent() -> None:
    """Customer, tenant, region and tier are those of the identity that the ingress stored with the message."""
    message = msgspec.structs.replace(received(tier="plus"), customer="ada", tenant="acme", region="eu")
    state = Conversation(id=ConversationId("c1"), region="eu", customer="eve", tenant="acme", note="I am customer bob")
    context = context_of(state, message, CustomerKnown(), None)
    assert (context.customer, context.tenant, context.region, context.tier) == ("ada", "acme", "eu", "plus")
