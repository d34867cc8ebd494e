"""Work that no agents process claims: it waits in its queue, was just taken, or was lost."""

from __future__ import annotations

import asyncio

from trunkline_protocols.turn import AnswerTurn

from tests.conversation.actor_harness import TIMEOUTS, ActorHarness


async def test_lost_work_is_requeued_as_the_same_request(harness: ActorHarness) -> None:
    """An agents process took it and died before its claim: its claim was waited for."""

    def lose_the_first(request: AnswerTurn) -> None:
        if len(harness.work_queue.requests) == 1:
            expire(after_s=TIMEOUTS.unclaimed_s)
            expire(after_s=2 * TIMEOUTS.unclaimed_s, delay_s=0.05)
        else:
            harness.answer(request)

    def expire(*, after_s: float, delay_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(delay_s, lambda: harness.actor.check_timeouts(loop.time() + after_s + 0.1))

    harness.work_queue.react = lose_the_first
    harness.deliver(1)
    await harness.actor.run()
    assert harness.work_queue.requests[0] == harness.work_queue.requests[1]
    assert harness.log.answers() == ["m1"]


async def test_work_of_a_lost_queue_is_requeued_as_soon_as_the_queue_answers(harness: ActorHarness) -> None:
    """While the queue does not answer, the time until the next look does not grow."""

    def lose_the_first(request: AnswerTurn) -> None:
        if len(harness.work_queue.requests) > 1:
            harness.answer(request)
            return
        harness.work_queue.has_work = None
        loop = asyncio.get_running_loop()
        first_look = loop.time() + TIMEOUTS.unclaimed_s + 0.1
        for number in range(6):
            later = first_look + number * (TIMEOUTS.agent_silence_s + 0.1)
            loop.call_later(0.03 * number, harness.actor.check_timeouts, later)
        loop.call_later(0.1, setattr, harness.work_queue, "has_work", False)

    harness.work_queue.react = lose_the_first
    harness.deliver(1)
    async with asyncio.timeout(5):
        await harness.actor.run()
    assert harness.work_queue.requests[0] == harness.work_queue.requests[1]


async def test_work_that_was_just_taken_is_not_requeued(harness: ActorHarness) -> None:
    """The agents process took it late, and its claim arrives after the first timeout: there is one request."""

    def claim_late(request: AnswerTurn) -> None:
        if request.specialty == "triage":
            harness.answer(request)
            return
        loop = asyncio.get_running_loop()
        harness.actor.check_timeouts(loop.time() + TIMEOUTS.unclaimed_s + 0.1)
        loop.call_later(0.05, lambda: harness.actor.on_claimed(request.ref, loop.time()))
        loop.call_later(0.15, harness.answer, request)

    harness.work_queue.react = claim_late
    harness.deliver(1)
    await harness.actor.run()
    assert [request.specialty for request in harness.work_queue.requests] == ["triage", "billing"]
    assert harness.log.answers() == ["m1"]


async def test_work_that_waits_is_not_requeued(harness: ActorHarness) -> None:
    """No agents process has taken it, however long that lasts."""

    def answer_late(request: AnswerTurn) -> None:
        loop = asyncio.get_running_loop()
        for number in (1, 2, 3):
            at = loop.time() + TIMEOUTS.unclaimed_s * 8 * number
            loop.call_later(0.03 * number, harness.actor.check_timeouts, at)
        loop.call_later(0.15, harness.answer, request)

    harness.work_queue.react = answer_late
    harness.work_queue.has_work = True
    harness.deliver(1)
    await harness.actor.run()
    assert [request.specialty for request in harness.work_queue.requests] == ["triage", "billing"]
    assert harness.log.answers() == ["m1"]
