"""Ownership of a conversation over several turns: routed by triage, handed off by topic, without ping-pong."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from pathlib import Path

import pytest
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.core.routing.router import Router
from trunkline_agents.core.routing.training import train
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols.context import Context, Utterance
from trunkline_protocols.turn import Answered, HandOff, Routed, TurnResult

from tests.agents.builders import BUILT_IN, make_request, make_task, make_worker
from tests.agents.fakes import FakeModel

FLEET = load_fleet(Path(__file__).parents[2] / "fleet")
ROUTING = FleetRouting(1, FLEET, Router(FLEET, train(FLEET, "test", built_in=BUILT_IN)))
OUT_OF_SCOPE = "qwx zzyv blorf mnurk"
REFUND = "I was charged twice for my order, can I get a refund?"
BROKEN = "my router keeps dropping the wifi connection every night"


@dataclass
class Dialogue:
    """A conversation as the conversation service conducts it: a result that moves it is followed by the next hop."""

    model: FakeModel = field(default_factory=FakeModel)
    transcript: list[Utterance] = field(default_factory=list)
    owner: str = "triage"
    owners: list[str] = field(default_factory=list)

    async def send(self, text: str) -> str:
        """Process a message of the customer and return the specialty that answered."""
        result = await self._process(text, hop=0)
        if isinstance(result, (Routed, HandOff)):
            self.owner = result.to
            result = await self._process(text, hop=1)
        assert isinstance(result, Answered)
        self.transcript += [
            Utterance(role="customer", text=text),
            Utterance(role="agent", text=result.text, specialty=self.owner),
        ]
        self.owners.append(self.owner)
        return self.owner

    async def _process(self, text: str, *, hop: int) -> TurnResult:
        context = Context(tenant="shop", region="eu", locale="en", transcript=list(self.transcript))
        request = make_request(text, specialty=self.owner, hop=hop, context=context)
        return await make_worker(self.model).process(make_task(request, ROUTING))


async def test_clear_message_is_routed_and_its_specialty_stays_the_owner() -> None:
    """Triage routes once; later messages go to the owner."""
    dialogue = Dialogue()
    assert [await dialogue.send(text) for text in (REFUND, "when will the refund be on my card?")] == ["billing"] * 2


async def test_out_of_scope_messages_are_declined_and_then_escalated() -> None:
    """The fleet's text says so, and names the way to a person."""
    dialogue = Dialogue()
    assert [await dialogue.send(f"{OUT_OF_SCOPE} {number}") for number in range(3)] == [
        "triage",
        "triage",
        "escalation",
    ]
    abstentions = [request.abstain for request in dialogue.model.completions]
    assert abstentions[:2] == [FLEET.company.abstain] * 2


async def test_clear_answer_to_a_clarifying_question_is_routed() -> None:
    """The clarification leads to an owner."""
    dialogue = Dialogue()
    assert [await dialogue.send(text) for text in (OUT_OF_SCOPE, BROKEN)] == ["triage", "technical"]


@pytest.mark.parametrize("short", ["wifi router offline", "ok", "yes please", "4711"])
async def test_message_of_three_words_stays_with_its_owner(short: str) -> None:
    """Whichever specialty its words match."""
    dialogue = Dialogue()
    assert [await dialogue.send(text) for text in (REFUND, short)] == ["billing", "billing"]


async def test_change_of_topic_hands_the_conversation_off() -> None:
    """The new owner keeps it."""
    dialogue = Dialogue()
    texts = (REFUND, BROKEN, "the wifi is slow in the bedroom too")
    assert [await dialogue.send(text) for text in texts] == ["billing", "technical", "technical"]


@pytest.mark.parametrize("first", ["billing", "technical"])
async def test_messages_about_two_fields_cause_no_ping_pong(first: str) -> None:
    """In either order and repeatedly: at most one change of owner, for either initial owner."""
    for refund, broken in zip(
        *([text for agent in FLEET.of(name)[:1] for text in agent.examples][:6] for name in ("billing", "technical")),
        strict=True,
    ):
        dialogue = Dialogue(owner=first)
        for text in islice(cycle((f"{refund} {broken}", f"{broken} {refund}")), 6):
            await dialogue.send(text)
        changes = sum(before != after for before, after in pairwise([first, *dialogue.owners]))
        assert changes <= 1, (refund, broken)
