"""Borders of a conversation: a message of a customer of another region."""

from __future__ import annotations

import msgspec

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import received


async def test_message_of_another_region_is_neither_answered_nor_committed(harness: ActorHarness) -> None:
    """Also when a later one finds it in the inbox; the conversation goes on."""
    harness.deliver(1)
    foreign = msgspec.structs.replace(received(2, previous=1), region="us")
    harness.deliver(2, foreign)
    await harness.actor.run()
    harness.deliver(3)
    await harness.actor.run()
    assert harness.log.answers() == ["m1", "m3"]
    assert harness.done == [1, 2, 3]
    assert harness.dead_letters == []
    assert not [request for request in harness.work_queue.requests if request.ref.turn.endswith("-2")]
    assert set(harness.borders.refused) == {("conversation", "us", harness.borders.region)}
