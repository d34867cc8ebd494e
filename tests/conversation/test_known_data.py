"""Known data about the customer in the turns of a conversation actor."""

from __future__ import annotations

import msgspec
from trunkline_protocols import codec
from trunkline_protocols.context import Fact
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.fleet import FactField, Fleet, Reader
from trunkline_protocols.ids import Instance, Specialty
from trunkline_protocols.inbox import EndRequested
from trunkline_protocols.log import TurnAnswered
from trunkline_protocols.turn import AnswerTurn, HandOff

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import CONVERSATION, environment
from tests.protocols.sample_parts import AGENT, COMPANY


async def test_known_data_is_the_same_for_all_work_of_a_turn(harness: ActorHarness) -> None:
    """It is read once, for the first work after triage, and its commit records its facts without their values."""
    reader = Reader(name="crm", url="https://c.example/{c}", bind={"c": "customer.sub"}, fields={"plan": FactField()})
    harness.environment = environment(fleet=Fleet(company=COMPANY, agents=[AGENT], readers=[reader]))
    facts = [Fact(name="plan", value="canary", read_at=40.0)]
    harness.customers.customer = CustomerKnown(facts=facts)

    def react(request: AnswerTurn) -> None:
        if request.specialty == "billing":
            # The data changes in the middle of the turn.
            harness.customers.customer = CustomerKnown()
            handed = HandOff(
                ref=request.ref,
                specialty=Specialty("billing"),
                to=Specialty("technical"),
                agent="technical-one",
                reason="r",
                summary="s",
            )
            harness.actor.on_result(handed)
        else:
            harness.answer(request)

    harness.work_queue.react = react
    harness.deliver(1)
    await harness.actor.run()
    work = [(request.specialty, request.context.facts) for request in harness.work_queue.requests]
    assert work == [("triage", []), ("billing", facts), ("technical", facts)]
    (answer,) = (event for event in harness.log.events() if isinstance(event, TurnAnswered))
    assert answer.facts is not None
    assert answer.facts.ages_s == {"plan": 960.0}
    assert b"canary" not in codec.encode(harness.log.stored[-1])
    assert harness.customers.waited == [True]


async def test_end_of_a_conversation_is_offered_once(harness: ActorHarness) -> None:
    """With its commit."""
    harness.deliver(1)
    ended = EndRequested(
        conversation=CONVERSATION, previous=1, customer="ada", tenant="t", ingress=Instance("i"), received_at=1.0
    )
    harness.deliver(2, ended)
    harness.deliver(3, msgspec.structs.replace(ended, previous=2))
    await harness.actor.run()
    assert harness.customers.ended == [CONVERSATION]
