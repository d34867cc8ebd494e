"""The conversation actor when the key of its customer is destroyed: it ends, and no text is left in memory."""

from __future__ import annotations

from msgspec.structs import replace
from trunkline_conversation.application.actor import Envelope, erased
from trunkline_conversation.core.erasure import ANSWER, REASON
from trunkline_conversation.ports import InboxItem
from trunkline_protocols.desk import Claim
from trunkline_protocols.inbox import EndRequested, TurnReceived
from trunkline_protocols.log import Closed, TurnAnswered
from trunkline_protocols.texts import ERASED
from trunkline_protocols.turn import AnswerTurn

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import CONVERSATION, received

KEY = "5f0c-a1b2"


def encrypted(number: int) -> TurnReceived:
    """Return the n-th message, with a key."""
    return replace(received(number, previous=number - 1), key=KEY)


async def test_commits_name_the_key_of_the_message() -> None:
    """Work carries it too, for the tool steps."""
    harness = ActorHarness()
    harness.deliver(1, encrypted(1))
    harness.deliver(2)
    await harness.actor.run()
    assert [stored.commit.key for stored in harness.log.stored] == [KEY, KEY]
    assert {request.key for request in harness.work_queue.requests} == {KEY}
    assert [snapshot.key for snapshot in harness.log.snapshots] == [KEY]


async def test_erasure_closes_an_idle_conversation() -> None:
    """The commit is in clear: it has no text of the customer."""
    harness = ActorHarness()
    harness.deliver(1, encrypted(1))
    await harness.actor.run()
    assert harness.actor.text_key == KEY
    harness.log.erased.add(KEY)
    harness.actor.offer(erased())
    await harness.actor.run()
    last = harness.log.stored[-1].commit
    assert (last.key, last.erased, last.kind, last.events) == ("", True, "closed", [Closed(reason=REASON)])
    assert harness.actor.text_key == ""
    harness.actor.offer(erased())
    await harness.actor.run()
    assert len(harness.log.stored) == 2


async def test_texts_leave_the_memory() -> None:
    """The state after the erasure is folded from the log, without them."""
    harness = ActorHarness()
    harness.deliver(1, encrypted(1))
    await harness.actor.run()
    harness.log.erased.add(KEY)
    harness.actor.offer(erased())
    await harness.actor.run()
    state = harness.actor._repository.cached_state
    assert state is not None
    assert state.closed
    assert {utterance.text for utterance in state.transcript} == {ERASED}


async def test_turn_in_flight_ends_without_its_answer() -> None:
    """The accepted message gets a reply, and its text is stored nowhere."""
    harness = ActorHarness()
    answer = harness.answer

    def erase_meanwhile(request: AnswerTurn) -> None:
        harness.log.erased.add(KEY)
        answer(request)

    harness.work_queue.react = erase_meanwhile
    harness.deliver(1, encrypted(1))
    await harness.actor.run()
    [stored] = harness.log.stored
    answered = [event for event in stored.commit.events if isinstance(event, TurnAnswered)]
    assert [(event.text, event.answer) for event in answered] == [(ERASED, ANSWER)]
    assert stored.commit.events[-1] == Closed(reason=REASON)
    assert (stored.commit.key, stored.commit.erased) == ("", True)
    assert harness.done == [1]


async def test_later_message_of_an_erased_conversation_is_not_answered_by_an_agent() -> None:
    """By a process that loads the log first; the message after it meets a closed conversation."""
    harness = ActorHarness()
    harness.deliver(1, encrypted(1))
    await harness.actor.run()
    asked = len(harness.work_queue.requests)
    harness.log.erased.add(KEY)
    harness.actor = harness.new_actor()
    harness.deliver(2, encrypted(2))
    harness.deliver(3, encrypted(3))
    await harness.actor.run()
    assert len(harness.work_queue.requests) == asked
    assert harness.done == [1, 2, 3]
    assert harness.dead_letters == []
    events = harness.log.events()
    assert [event.answer for event in events if isinstance(event, TurnAnswered)][1:] == [ANSWER, ANSWER]
    assert sum(isinstance(event, Closed) for event in events) == 1


async def test_request_to_end_closes_an_erased_conversation() -> None:
    """Nothing of it is kept for the next conversation."""
    harness = ActorHarness()
    harness.deliver(1, encrypted(1))
    await harness.actor.run()
    harness.log.erased.add(KEY)
    request = EndRequested(
        conversation=CONVERSATION,
        previous=1,
        customer="ada",
        tenant="default",
        ingress=encrypted(1).ingress,
        received_at=1.0,
    )
    harness.deliver(2, request)
    await harness.actor.run()
    assert harness.log.events()[-1] == Closed(reason=REASON)
    assert harness.customers.ended == []


async def test_desk_command_for_an_erased_conversation_is_refused() -> None:
    """With the reason for the person."""
    harness = ActorHarness()
    harness.deliver(1, encrypted(1))
    await harness.actor.run()
    harness.log.erased.add(KEY)
    command = Claim(conversation=CONVERSATION, person="grace", previous=0, at=1.0, reply_to="desk")

    async def nothing(_: str = "") -> None:
        pass

    harness.actor.offer(Envelope(9, InboxItem(9, command), done=nothing, dead_letter=nothing))
    await harness.actor.run()
    assert [(outcome.done, outcome.reason) for outcome in harness.notifier.outcomes] == [(False, REASON)]
