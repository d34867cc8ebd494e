"""The conversation actor on fakes: order, redelivery, lost agents, conflicts."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from prometheus_client import REGISTRY
from trunkline_chassis.errors import MessageTooLargeError
from trunkline_conversation.ports import InboxItem
from trunkline_protocols.ids import Specialty
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit, CommitStored, TurnAnswered
from trunkline_protocols.turn import AnswerTurn, HandOff, Routed

from tests.conversation.actor_harness import TIMEOUTS, ActorHarness
from tests.conversation.builders import CONVERSATION, received


async def test_messages_are_answered_in_order_with_one_commit_each(harness: ActorHarness) -> None:
    """The actor makes one of the two appends of a turn."""
    for number in (1, 2, 3):
        harness.deliver(number)
    await harness.actor.run()
    assert harness.log.answers() == ["m1", "m2", "m3"]
    assert len(harness.log.stored) == 3
    assert harness.done == [1, 2, 3]
    assert [request.specialty for request in harness.work_queue.requests] == ["triage", "billing", "billing", "billing"]


async def test_redelivered_message_is_answered_once(harness: ActorHarness) -> None:
    """A process that loads the log first behaves the same; the ingress is notified again."""
    harness.deliver(1)
    await harness.actor.run()
    harness.actor = harness.new_actor()
    harness.deliver(1)
    await harness.actor.run()
    assert harness.log.answers() == ["m1"]
    assert harness.done == [1, 1]
    assert [stored.sequence for stored in harness.notifier.published] == [1, 1]


async def test_lost_acknowledgement_of_a_commit_causes_no_second_answer(harness: ActorHarness) -> None:
    """The actor reads the log, finds the answer and publishes it."""
    harness.log.lose_next_acknowledgement = True
    harness.deliver(1)
    await harness.actor.run()
    assert harness.log.answers() == ["m1"]
    assert [stored.sequence for stored in harness.notifier.published] == [1]
    assert harness.done == [1]


async def test_answer_of_another_process_is_published_instead_of_the_own_one(harness: ActorHarness) -> None:
    """Two owners may exist for a moment, two histories may not."""
    other = ActorHarness()
    other.log = harness.log
    other.actor = other.new_actor()

    def overtake(request: AnswerTurn) -> None:
        foreign = Commit(
            conversation=CONVERSATION,
            region="local",
            tenant="default",
            customer="ada",
            kind="turn",
            turn=request.ref.turn,
            epoch=0,
            owner="technical",
            agent="wifi",
            inbox_seq=1,
            previous=0,
            frames_before=0,
            at=1.0,
            events=[
                TurnAnswered(
                    message_id="m1",
                    accepted_seq=2,
                    text="?",
                    received_at=1.0,
                    answer="From the other one.",
                    specialty="technical",
                    agent="wifi",
                )
            ],
        )
        if not harness.log.stored:
            harness.log.stored.append(CommitStored(sequence=1, commit=foreign))
        harness.answer(request)

    harness.work_queue.react = overtake
    harness.deliver(1)
    await harness.actor.run()
    assert len(harness.log.stored) == 1
    shown = harness.notifier.published[-1].commit.events[0]
    assert isinstance(shown, TurnAnswered)
    assert shown.answer == "From the other one."


async def test_lost_agent_is_replaced_by_the_next_attempt(harness: ActorHarness) -> None:
    """If the heartbeats stop after the claim, the turn is dispatched again."""

    def stop_heartbeats(request: AnswerTurn) -> None:
        if request.ref.attempt == 1:
            now = asyncio.get_running_loop().time()
            harness.actor.on_claimed(request.ref, now)
            harness.actor.check_timeouts(now + 0.5)
            harness.actor.check_timeouts(now + 1.0)
        else:
            harness.answer(request)

    harness.work_queue.react = stop_heartbeats
    harness.deliver(1)
    await harness.actor.run()
    assert harness.log.answers() == ["m1"]
    assert [request.ref.attempt for request in harness.work_queue.requests] == [1, 2, 1, 2]


async def test_agent_that_routes_and_answers_gets_no_second_request(harness: ActorHarness) -> None:
    """Its process serves the chosen specialty too: the answer may arrive together with the choice."""

    def route_and_answer(request: AnswerTurn) -> None:
        harness.actor.on_result(routed_and_continued(request))
        harness.answer(next_hop_of(request))

    harness.work_queue.react = route_and_answer
    harness.deliver(1)
    await harness.actor.run()
    assert harness.log.answers() == ["m1"]
    assert [request.specialty for request in harness.work_queue.requests] == ["triage"]
    assert harness.log.stored[0].commit.owner == "billing"


async def test_agent_that_is_lost_after_its_choice_is_replaced(harness: ActorHarness) -> None:
    """Its choice is a claim of the next hop: without heartbeats, that hop is queued for others."""
    loop = asyncio.get_running_loop()

    def route_and_die(request: AnswerTurn) -> None:
        if request.specialty != "triage":
            harness.answer(request)
            return
        harness.actor.on_result(routed_and_continued(request))
        loop.call_later(0.05, lambda: harness.actor.check_timeouts(loop.time() + TIMEOUTS.agent_silence_s + 0.1))

    harness.work_queue.react = route_and_die
    harness.deliver(1)
    await harness.actor.run()
    assert harness.log.answers() == ["m1"]
    requests = [(request.specialty, request.ref.hop, request.ref.attempt) for request in harness.work_queue.requests]
    assert requests == [("triage", 0, 1), ("billing", 1, 2)]


@pytest.mark.parametrize("complete", [True, False])
async def test_triage_leaves_the_next_hop_while_the_customer_is_being_read(
    harness: ActorHarness,
    complete: bool,  # noqa: FBT001 - a parameter
) -> None:
    """The specialist needs the facts, which triage's request does not have yet."""
    harness.customers.complete = complete
    harness.deliver(1)
    await harness.actor.run()
    assert harness.work_queue.requests[0].may_continue is complete


def routed_and_continued(request: AnswerTurn) -> Routed:
    """Return the choice of a process that serves the chosen specialty too."""
    return Routed(ref=request.ref, to=Specialty("billing"), agent="billing-one", confidence=1.0, continued=True)


def next_hop_of(request: AnswerTurn) -> AnswerTurn:
    """Return the request that such a process makes to itself."""
    ref = msgspec.structs.replace(request.ref, hop=request.ref.hop + 1)
    return msgspec.structs.replace(request, ref=ref, specialty=Specialty("billing"), agent="billing-one")


async def test_late_result_of_the_previous_owner_is_dropped_and_counted(harness: ActorHarness) -> None:
    """It arrives after the handoff that the same agent requested; only the new owner's answer is committed."""

    def hand_off_and_answer_too(request: AnswerTurn) -> None:
        if request.specialty == "billing":
            harness.actor.on_result(
                HandOff(
                    ref=request.ref,
                    specialty=Specialty("billing"),
                    to=Specialty("technical"),
                    agent="wifi",
                    reason="r",
                    summary="s",
                )
            )
        elif request.specialty == "technical":
            late = msgspec.structs.replace(
                request,
                specialty=Specialty("billing"),
                ref=msgspec.structs.replace(request.ref, epoch=0, hop=request.ref.hop - 1),
            )
            harness.answer(late)
            harness.answer(request)
        else:
            harness.answer(request)

    def dropped() -> float:
        return REGISTRY.get_sample_value("trunkline_turns_total", {"outcome": "late_result"}) or 0.0

    before = dropped()
    harness.work_queue.react = hand_off_and_answer_too
    harness.deliver(1)
    await harness.actor.run()
    (answer,) = [
        event for stored in harness.log.stored for event in stored.commit.events if isinstance(event, TurnAnswered)
    ]
    assert answer.specialty == "technical"
    assert dropped() - before == 1


async def test_undelivered_message_is_answered_before_the_next(harness: ActorHarness) -> None:
    """Each message names its predecessor: the gap is read from the inbox, so the order is kept."""
    harness.deliver(1)
    await harness.actor.run()
    harness.log.messages.append(InboxItem(2, received(2, previous=1)))
    harness.deliver(3)
    await harness.actor.run()
    assert harness.log.answers() == ["m1", "m2", "m3"]
    harness.deliver(2)
    await harness.actor.run()
    assert harness.log.answers() == ["m1", "m2", "m3"]
    assert harness.done == [1, 3, 2]


async def test_turn_resumes_with_the_new_owner_after_a_crash(harness: ActorHarness) -> None:
    """The handoff is in the log; the new owner answers the turn, once."""
    harness.deliver(1)
    await harness.actor.run()

    class Killed(BaseException):
        pass

    def hand_off_and_die(request: AnswerTurn) -> None:
        if request.specialty == "billing":
            harness.actor.on_result(
                HandOff(
                    ref=request.ref,
                    specialty=Specialty("billing"),
                    to=Specialty("technical"),
                    agent="wifi",
                    reason="r",
                    summary="s",
                )
            )
        else:
            raise Killed

    harness.work_queue.react = hand_off_and_die
    harness.deliver(2)
    with pytest.raises(Killed):
        await harness.actor.run()
    assert harness.done == [1]
    harness.actor = harness.new_actor()
    harness.work_queue.react = harness.answer
    harness.deliver(2)
    await harness.actor.run()
    assert [stored.commit.kind for stored in harness.log.stored] == ["turn", "handoff", "turn"]
    assert harness.log.stored[-1].commit.owner == "technical"
    assert harness.log.answers() == ["m1", "m2"]


async def test_poison_message_is_dead_lettered_and_answered_with_an_apology(harness: ActorHarness) -> None:
    """It does not block later messages, and an accepted message always gets a reply; it counts as failed."""

    def failed() -> float:
        return REGISTRY.get_sample_value("trunkline_turns_total", {"outcome": "failed"}) or 0.0

    def break_on_the_first(request: AnswerTurn) -> None:
        if request.text == "poison":
            raise ZeroDivisionError
        harness.answer(request)

    before = failed()
    harness.work_queue.react = break_on_the_first
    poison: TurnReceived = received(1, text="poison")
    harness.deliver(1, poison)
    harness.deliver(2)
    await harness.actor.run()
    assert len(harness.dead_letters) == 1
    assert harness.log.answers() == ["m1", "m2"]
    assert failed() == before + 1


async def test_message_whose_answer_no_server_takes_is_answered_with_an_apology(harness: ActorHarness) -> None:
    """A commit or request over the server's limit is not tried again: the conversation goes on."""

    def outgrow_the_server(request: AnswerTurn) -> None:
        if request.text == "long":
            raise MessageTooLargeError("work.billing.normal", 9_000_000, 8_388_608)
        harness.answer(request)

    harness.work_queue.react = outgrow_the_server
    harness.deliver(1, received(1, text="long"))
    harness.deliver(2)
    async with asyncio.timeout(10):
        await harness.actor.run()
    assert harness.dead_letters == [
        "a message of 9000000 bytes on work.billing.normal is over max_payload, 8388608 bytes (10054)"
    ]
    assert harness.log.answers() == ["m1", "m2"]


async def test_first_message_reads_no_snapshot(harness: ActorHarness) -> None:
    """No snapshot can be older; if it is delivered again to another process, the log has the state."""
    harness.deliver(1)
    await harness.actor.run()
    assert harness.log.snapshot_reads == 0
    harness.deliver(2)
    await harness.actor.run()
    harness.actor = harness.new_actor()
    harness.deliver(1)
    harness.deliver(2)
    harness.deliver(3)
    await harness.actor.run()
    assert harness.log.snapshot_reads == 0
    assert harness.log.answers() == ["m1", "m2", "m3"]
    assert [utterance.text for utterance in harness.work_queue.requests[-1].context.transcript][::2] == [
        received(1).text,
        received(2).text,
    ]


async def test_conversation_that_the_inbox_has_forgotten_is_read_from_its_snapshot(harness: ActorHarness) -> None:
    """Its next message has no predecessor, but a later number."""
    for number in (1, 2, 3):
        harness.deliver(number)
    await harness.actor.run()
    harness.actor = harness.new_actor()
    harness.deliver(4, received(4, previous=0))
    await harness.actor.run()
    assert harness.log.snapshot_reads == 1
    assert harness.log.answers() == ["m1", "m2", "m3", "m4"]


async def test_snapshot_and_later_commits_restore_the_whole_state(harness: ActorHarness) -> None:
    """Loading from a snapshot and loading from the log alone give the same state."""
    for number in (1, 2, 3):
        harness.deliver(number)
    await harness.actor.run()
    assert harness.log.snapshots
    harness.actor = harness.new_actor()
    harness.deliver(4)
    await harness.actor.run()
    with_snapshot = harness.work_queue.requests[-1].context
    harness.log.snapshots.clear()
    harness.log.stored.pop()
    harness.actor = harness.new_actor()
    harness.deliver(4)
    await harness.actor.run()
    assert harness.work_queue.requests[-1].context == with_snapshot
