"""Escalation rules that are for some customers only."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from trunkline_conversation.core.decisions import first_step
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append
from trunkline_protocols.context import Fact
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.fleet import EscalationPolicy, EscalationRule, FactField, Fleet, Reader

from tests.conversation.builders import NOW, begun, environment, fresh
from tests.protocols.sample_parts import AGENT, COMPANY

RULE = EscalationRule(name="vip", phrases=["help"], urgency="high", when={"tier": "business", "facts.plan": "plus"})
READER = Reader(name="crm", url="https://c.example/{c}", bind={"c": "customer.sub"}, fields={"plan": FactField()})
FLEET = Fleet(company=COMPANY, agents=[AGENT], readers=[READER])


def owned() -> Conversation:
    """Return a conversation that billing owns."""
    return msgspec.structs.replace(fresh(), sequence=10, inbox_seq=1, owner="billing", agent="billing-one")


@pytest.mark.parametrize(
    ("tier", "plan", "expected"), [("business", "Plus", True), ("plus", "Plus", False), ("business", "", False)]
)
def test_rule_for_some_customers_is_for_them_only(tier: str, plan: str, *, expected: bool) -> None:
    """By tier and facts together."""
    facts = [Fact(name="plan", value=plan, read_at=NOW)] if plan else []
    turn = replace(begun(owned(), 2, text="help", tier=tier), customer=CustomerKnown(facts=facts))
    step = first_step(owned(), turn, environment(policy=EscalationPolicy(rules=[RULE]), fleet=FLEET))
    assert isinstance(step, Append) is expected
