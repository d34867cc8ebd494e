"""The desk: only who has claimed a conversation speaks in it, and every order is carried out once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from trunkline_conversation.application.actor import Envelope, Overdue
from trunkline_conversation.core.decisions import first_step
from trunkline_conversation.core.desk import AlreadyApplied, Rejected, decide
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append
from trunkline_protocols.desk import Claim, Close, DeskMessage, HandBack, Reply
from trunkline_protocols.escalation import Escalation
from trunkline_protocols.log import Breached, Claimed, CustomerSaid, Escalated, HandedBack, PersonReplied, TurnAnswered

from tests.conversation.actor_harness import Scene
from tests.conversation.builders import CONVERSATION, NOW, begun, committed, environment, received


def order(type_: type[DeskMessage], person: str = "grace", **fields: Any) -> DeskMessage:
    common = {"conversation": CONVERSATION, "person": person, "previous": 0, "at": NOW, "reply_to": "inbox"}
    return type_(**(common | fields))


def waiting(**changes: Any) -> Conversation:
    escalation = Escalation(
        level="person", urgency="high", reason="r", summary="s", since=NOW, due_at=NOW + 300, from_="billing"
    )
    return Conversation(
        id=CONVERSATION,
        region="local",
        sequence=10,
        inbox_seq=1,
        epoch=1,
        owner="escalation",
        customer="ada",
        tenant="default",
        escalation=msgspec.structs.replace(escalation, **changes),
    )


def test_claim_moves_the_conversation_to_the_person() -> None:
    """Epoch + 1: what agents still have to say is late."""
    append = decide(waiting(), order(Claim), environment())
    assert isinstance(append, Append)
    assert (append.kind, append.epoch) == ("escalation", 2)
    after = committed(waiting(), append, inbox_seq=1, sequence=11, desk_seq=5)
    assert (after.with_person, after.desk_seq, after.inbox_seq) == ("grace", 5, 1)


def test_first_claim_wins() -> None:
    """The second person is told who has it; the first may claim twice."""
    claimed = waiting(claimed_by="grace")
    assert decide(claimed, order(Claim, "alan"), environment()) == Rejected("grace has it already")
    assert decide(claimed, order(Claim, "grace"), environment()) == AlreadyApplied()


def test_conversation_that_does_not_wait_cannot_be_claimed() -> None:
    """Also not one that is with senior agents."""
    nobody = msgspec.structs.replace(waiting(), escalation=None)
    for state in (nobody, waiting(level="senior")):
        assert isinstance(decide(state, order(Claim), environment()), Rejected)


@pytest.mark.parametrize(
    "wanted",
    [
        order(Reply, "alan", reply_id="r1", text="Hi"),
        order(HandBack, "alan", note=""),
        order(Close, "alan", reason="x"),
    ],
    ids=["reply", "hand back", "close"],
)
def test_only_who_has_claimed_it_speaks(wanted: DeskMessage) -> None:
    """Claim it first."""
    assert isinstance(decide(waiting(claimed_by="grace"), wanted, environment()), Rejected)
    assert isinstance(decide(waiting(), wanted, environment()), Rejected)


def test_customer_of_a_person_gets_no_automatic_answer() -> None:
    """The message is settled, shown to the person, and answered when the person writes."""
    state = waiting(claimed_by="grace")
    append = first_step(state, begun(state, 2, text="Are you there?"), environment())
    assert isinstance(append, Append)
    assert isinstance(append.events[0], CustomerSaid)
    heard = committed(state, append, inbox_seq=2, sequence=11)
    assert (heard.inbox_seq, heard.last_message) == (2, "m2")
    reply = decide(heard, order(Reply, reply_id="r1", text="Yes."), environment(now=NOW + 100))
    assert isinstance(reply, Append)
    event = reply.events[0]
    assert isinstance(event, PersonReplied)
    assert (event.in_reply_to, event.text) == ("m2", "Yes.")
    after = committed(heard, reply, inbox_seq=2, sequence=12)
    assert after.escalation is not None
    assert (after.last_message, after.escalation.due_at) == ("", NOW + 400)


def test_handed_back_conversation_goes_to_who_had_it_with_a_note() -> None:
    """And the fleet answers again."""
    state = waiting(claimed_by="grace")
    append = decide(state, order(HandBack, note="Refund is booked."), environment())
    assert isinstance(append, Append)
    assert append.events == [HandedBack(person="grace", to="billing", note="Refund is booked.")]
    after = committed(state, append, inbox_seq=1, sequence=11)
    assert (after.owner, after.escalation, after.note, after.epoch) == ("billing", None, "Refund is booked.", 2)


def test_hand_back_to_nobody_we_know_is_refused() -> None:
    """A name from the page is checked like any other."""
    refusal = decide(waiting(claimed_by="grace"), order(HandBack, note="", to="cooking"), environment())
    assert isinstance(refusal, Rejected)
    assert "cooking" in refusal.reason


# -- at work ---


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A conversation that has asked for a person."""
    return Scene()


async def ask_for_a_person(scene: Scene) -> None:
    scene.deliver(1, received(1, text="I want to speak to a person"))
    await scene.actor.run()


def events(scene: Scene) -> list[type]:
    return [type(event) for stored in scene.log.stored for event in stored.commit.events]


async def test_conversation_is_claimed_answered_and_handed_back(scene: Scene) -> None:
    """The desk shows it until it is over; the fleet answers again after it."""
    await ask_for_a_person(scene)
    assert scene.outside.waiting[CONVERSATION].escalation.level == "person"
    scene.deliver(2, order(Claim, previous=0))
    scene.deliver(3, received(2, previous=1, text="Hello?"))
    scene.deliver(4, order(Reply, reply_id="r1", text="Hello Ada.", previous=2))
    scene.deliver(5, order(HandBack, note="done", previous=4))
    scene.deliver(6, received(3, previous=3))
    await scene.actor.run()
    assert not scene.outside.waiting
    assert [outcome.done for outcome in scene.outside.outcomes] == [True, True, True]
    assert events(scene)[-5:] == [Claimed, CustomerSaid, PersonReplied, HandedBack, TurnAnswered]
    assert scene.done == [1, 2, 3, 4, 5, 6]


async def test_order_that_comes_again_is_carried_out_once(scene: Scene) -> None:
    """Also by a process that knows nothing but the log."""
    await ask_for_a_person(scene)
    scene.deliver(2, order(Claim))
    scene.deliver(3, order(Reply, reply_id="r1", text="Hello.", previous=2))
    await scene.actor.run()
    scene.actor = scene.new_actor()
    scene.deliver(2, order(Claim))
    scene.deliver(3, order(Reply, reply_id="r1", text="Hello.", previous=2))
    await scene.actor.run()
    assert events(scene).count(PersonReplied) == 1
    assert events(scene).count(Claimed) == 1
    assert all(outcome.done for outcome in scene.outside.outcomes)


async def test_reply_that_is_ordered_again_is_read_once(scene: Scene) -> None:
    """Who did not hear of it orders it anew, also after handing back; one that was refused may be said later."""
    await ask_for_a_person(scene)
    scene.deliver(2, order(Reply, reply_id="r1", text="Hello."))
    scene.deliver(3, order(Claim, previous=2))
    scene.deliver(4, order(Reply, reply_id="r1", text="Hello.", previous=3))
    scene.deliver(5, order(Reply, reply_id="r1", text="Hello.", previous=4))
    scene.deliver(6, order(HandBack, note="", previous=5))
    scene.deliver(7, order(Reply, reply_id="r1", text="Hello.", previous=6))
    await scene.actor.run()
    assert [outcome.done for outcome in scene.outside.outcomes] == [False, True, True, True, True, True]
    assert events(scene).count(PersonReplied) == 1


async def test_order_whose_predecessor_got_lost_waits_for_it(scene: Scene) -> None:
    """The desk's chain has no gap, and does not hold up the customer's."""
    await ask_for_a_person(scene)
    scene.log.ordered.append(type_item(scene, 2, order(Claim)))
    scene.deliver(3, order(Reply, reply_id="r1", text="Hello.", previous=2))
    await scene.actor.run()
    assert events(scene)[-2:] == [Claimed, PersonReplied]


def type_item(scene: Scene, sequence: int, message: DeskMessage) -> Any:
    return type(scene.log.said[0])(sequence, message)


async def test_refused_order_changes_nothing_and_says_why(scene: Scene) -> None:
    """The person reads the reason."""
    await ask_for_a_person(scene)
    before = len(scene.log.stored)
    scene.deliver(2, order(Reply, reply_id="r1", text="Hello."))
    await scene.actor.run()
    assert len(scene.log.stored) == before
    assert [(outcome.done, "claim it first" in outcome.reason) for outcome in scene.outside.outcomes] == [(False, True)]


async def test_overdue_conversation_rises_once_however_often_the_clock_strikes(scene: Scene) -> None:
    """Breach re-escalates: a commit, a new clock, told to every ingress."""
    await ask_for_a_person(scene)
    due_at = scene.outside.waiting[CONVERSATION].escalation.due_at
    scene.environment = environment(now=due_at + 1)
    for _ in range(3):
        scene.actor.offer(Envelope(0, Overdue(), done=_nothing, dead_letter=_fail))
        await scene.actor.run()
    assert events(scene).count(Breached) == 1
    assert scene.outside.waiting[CONVERSATION].escalation.urgency == "high"
    assert isinstance(scene.outside.told[-1].commit.events[0], Breached)
    assert events(scene).count(Escalated) == 1


async def _nothing() -> None:
    pass


async def _fail(reason: str) -> None:
    raise AssertionError(reason)
