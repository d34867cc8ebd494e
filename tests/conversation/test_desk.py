"""Desk commands: only the person that claimed a conversation writes in it, and each command is applied once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from trunkline_conversation.application.actor import Envelope, Overdue
from trunkline_conversation.core.decisions import first_step
from trunkline_conversation.core.desk import AlreadyApplied, Rejected, decide
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append
from trunkline_conversation.ports import InboxItem
from trunkline_protocols.desk import AddNote, Claim, Close, DeskMessage, HandBack, Reply
from trunkline_protocols.escalation import Escalation
from trunkline_protocols.log import (
    Breached,
    Claimed,
    CustomerReplied,
    Escalated,
    HandedBack,
    NoteAdded,
    PersonReplied,
    TurnAnswered,
)

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import CONVERSATION, NOW, begun, committed, environment, fresh, received


def command(type_: type[DeskMessage], person: str = "grace", **fields: Any) -> DeskMessage:
    common: dict[str, Any] = {"conversation": CONVERSATION, "person": person, "previous": 0, "at": NOW}
    return type_(**(common | {"reply_to": "inbox"} | fields))


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
    """The epoch is incremented, so that later results of agents are stale."""
    append = decide(waiting(), command(Claim), environment())
    assert isinstance(append, Append)
    assert (append.kind, append.epoch) == ("escalation", 2)
    after = committed(waiting(), append, inbox_seq=1, sequence=11, desk_seq=5)
    assert (after.with_person, after.desk_seq, after.inbox_seq) == ("grace", 5, 1)


def test_first_claim_wins() -> None:
    """A second person is rejected with the name of the first, which may claim again."""
    claimed = waiting(claimed_by="grace")
    assert decide(claimed, command(Claim, "alan"), environment()) == Rejected("already claimed by grace")
    assert decide(claimed, command(Claim, "grace"), environment()) == AlreadyApplied()


def test_conversation_that_is_not_waiting_cannot_be_claimed() -> None:
    """A conversation without an escalation, or with senior agents, is not waiting for a person."""
    not_escalated = msgspec.structs.replace(waiting(), escalation=None)
    for state in (not_escalated, waiting(level="senior")):
        assert isinstance(decide(state, command(Claim), environment()), Rejected)


@pytest.mark.parametrize(
    "attempt",
    [
        command(Reply, "alan", reply_id="r1", text="Hi"),
        command(HandBack, "alan", note=""),
        command(Close, "alan", reason="x"),
    ],
    ids=["reply", "hand back", "close"],
)
def test_command_of_a_person_without_the_claim_is_rejected(attempt: DeskMessage) -> None:
    """A conversation must be claimed before it is answered, handed back or closed."""
    assert isinstance(decide(waiting(claimed_by="grace"), attempt, environment()), Rejected)
    assert isinstance(decide(waiting(), attempt, environment()), Rejected)


def test_customer_of_a_person_gets_no_automatic_answer() -> None:
    """The message is settled, shown to the person, and answered by the person's reply."""
    state = waiting(claimed_by="grace")
    append = first_step(state, begun(state, 2, text="Are you there?"), environment())
    assert isinstance(append, Append)
    assert isinstance(append.events[0], CustomerReplied)
    shown = committed(state, append, inbox_seq=2, sequence=11)
    assert (shown.inbox_seq, shown.last_message) == (2, "m2")
    reply = decide(shown, command(Reply, reply_id="r1", text="Yes."), environment(now=NOW + 100))
    assert isinstance(reply, Append)
    event = reply.events[0]
    assert isinstance(event, PersonReplied)
    assert (event.in_reply_to, event.text) == ("m2", "Yes.")
    after = committed(shown, reply, inbox_seq=2, sequence=12)
    assert after.escalation is not None
    assert (after.last_message, after.escalation.due_at) == ("", NOW + 400)


def test_conversation_is_handed_back_to_its_previous_owner_with_a_note() -> None:
    """The fleet answers again after it."""
    state = waiting(claimed_by="grace")
    append = decide(state, command(HandBack, note="Refund is booked."), environment())
    assert isinstance(append, Append)
    assert append.events == [HandedBack(person="grace", to="billing", note="Refund is booked.")]
    after = committed(state, append, inbox_seq=1, sequence=11)
    assert (after.owner, after.escalation, after.note, after.epoch) == ("billing", None, "Refund is booked.", 2)


@pytest.mark.parametrize("closed", [False, True])
def test_note_changes_nothing_but_the_log(*, closed: bool) -> None:
    """Any person may add one, also without the claim and after the end; a repeat with the same id is not added."""
    state = msgspec.structs.replace(waiting(claimed_by="grace"), closed=closed)
    note = command(AddNote, "alan", note_id="n1", text="Ask the carrier.")
    append = decide(state, note, environment())
    assert isinstance(append, Append)
    assert append.events == [NoteAdded(note_id="n1", person="alan", text="Ask the carrier.")]
    after = committed(state, append, inbox_seq=1, sequence=11, desk_seq=5)
    assert after == msgspec.structs.replace(state, sequence=11, desk_seq=5, replies=["n1"])
    assert decide(after, note, environment()) == AlreadyApplied()


def test_note_on_an_unknown_conversation_is_rejected() -> None:
    """It would start a log without a customer."""
    note = command(AddNote, note_id="n1", text="Hello?")
    assert isinstance(decide(fresh(), note, environment()), Rejected)


def test_hand_back_to_an_unknown_specialty_is_rejected() -> None:
    """The specialty comes from the console and is validated."""
    rejection = decide(waiting(claimed_by="grace"), command(HandBack, note="", to="cooking"), environment())
    assert isinstance(rejection, Rejected)
    assert "cooking" in rejection.reason


# -- with an actor ---


async def request_person(harness: ActorHarness) -> None:
    harness.deliver(1, received(1, text="I want to speak to a person"))
    await harness.actor.run()


def events(harness: ActorHarness) -> list[type]:
    return [type(event) for stored in harness.log.stored for event in stored.commit.events]


async def test_conversation_is_claimed_answered_and_handed_back(harness: ActorHarness) -> None:
    """It stays in the escalation queue until it is handed back; then the fleet answers again."""
    await request_person(harness)
    assert harness.escalation_queue.waiting[CONVERSATION].escalation.level == "person"
    harness.deliver(2, command(Claim, previous=0))
    harness.deliver(3, received(2, previous=1, text="Hello?"))
    harness.deliver(4, command(Reply, reply_id="r1", text="Hello Ada.", previous=2))
    harness.deliver(5, command(HandBack, note="done", previous=4))
    harness.deliver(6, received(3, previous=3))
    await harness.actor.run()
    assert not harness.escalation_queue.waiting
    assert [outcome.done for outcome in harness.notifier.outcomes] == [True, True, True]
    assert events(harness)[-5:] == [Claimed, CustomerReplied, PersonReplied, HandedBack, TurnAnswered]
    assert harness.done == [1, 2, 3, 4, 5, 6]


async def test_redelivered_command_is_applied_once(harness: ActorHarness) -> None:
    """A process that loads the log first behaves the same."""
    await request_person(harness)
    harness.deliver(2, command(Claim))
    harness.deliver(3, command(Reply, reply_id="r1", text="Hello.", previous=2))
    await harness.actor.run()
    harness.actor = harness.new_actor()
    harness.deliver(2, command(Claim))
    harness.deliver(3, command(Reply, reply_id="r1", text="Hello.", previous=2))
    await harness.actor.run()
    assert events(harness).count(PersonReplied) == 1
    assert events(harness).count(Claimed) == 1
    assert all(outcome.done for outcome in harness.notifier.outcomes)


async def test_note_reaches_no_agent(harness: ActorHarness) -> None:
    """The work after it holds none of its words."""
    await request_person(harness)
    harness.deliver(2, command(AddNote, note_id="n1", text="Beware of dogs."))
    harness.deliver(3, command(Claim, previous=2))
    harness.deliver(4, command(HandBack, note="done", to="billing", previous=3))
    harness.deliver(5, received(2, previous=1))
    await harness.actor.run()
    assert events(harness).count(NoteAdded) == 1
    assert "done" in repr(harness.work_queue.requests[-1])
    assert "dogs" not in repr(harness.work_queue.requests)


async def test_repeated_reply_is_committed_once(harness: ActorHarness) -> None:
    """A desk without an outcome repeats the reply, even after a hand-back; a rejected reply may be sent again."""
    await request_person(harness)
    harness.deliver(2, command(Reply, reply_id="r1", text="Hello."))
    harness.deliver(3, command(Claim, previous=2))
    harness.deliver(4, command(Reply, reply_id="r1", text="Hello.", previous=3))
    harness.deliver(5, command(Reply, reply_id="r1", text="Hello.", previous=4))
    harness.deliver(6, command(HandBack, note="", previous=5))
    harness.deliver(7, command(Reply, reply_id="r1", text="Hello.", previous=6))
    await harness.actor.run()
    assert [outcome.done for outcome in harness.notifier.outcomes] == [False, True, True, True, True, True]
    assert events(harness).count(PersonReplied) == 1


async def test_command_is_applied_after_its_undelivered_predecessor(harness: ActorHarness) -> None:
    """The chain of commands has its own gap detection, independent of the customer's messages."""
    await request_person(harness)
    harness.log.commands.append(InboxItem(2, command(Claim)))
    harness.deliver(3, command(Reply, reply_id="r1", text="Hello.", previous=2))
    await harness.actor.run()
    assert events(harness)[-2:] == [Claimed, PersonReplied]


async def test_rejected_command_changes_nothing_and_returns_the_reason(harness: ActorHarness) -> None:
    """The reason is shown to the person."""
    await request_person(harness)
    before = len(harness.log.stored)
    harness.deliver(2, command(Reply, reply_id="r1", text="Hello."))
    await harness.actor.run()
    assert len(harness.log.stored) == before
    assert [(outcome.done, "claim it first" in outcome.reason) for outcome in harness.notifier.outcomes] == [
        (False, True)
    ]


async def test_overdue_conversation_is_raised_once(harness: ActorHarness) -> None:
    """A breach commits a new urgency and due time; repeated timers change nothing."""
    await request_person(harness)
    due_at = harness.escalation_queue.waiting[CONVERSATION].escalation.due_at
    harness.environment = environment(now=due_at + 1)
    for _ in range(3):
        harness.actor.offer(Envelope(0, Overdue(), done=_no_settlement, dead_letter=_fail))
        await harness.actor.run()
    assert events(harness).count(Breached) == 1
    assert harness.escalation_queue.waiting[CONVERSATION].escalation.urgency == "high"
    assert isinstance(harness.notifier.published[-1].commit.events[0], Breached)
    assert events(harness).count(Escalated) == 1


async def _no_settlement() -> None:
    pass


async def _fail(reason: str) -> None:
    raise AssertionError(reason)
