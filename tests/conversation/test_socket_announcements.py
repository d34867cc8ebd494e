"""Announcements of sockets to the owner of a conversation."""

from __future__ import annotations

import pytest
from trunkline_protocols.ids import Instance
from trunkline_protocols.turn import AnswerTurn, SocketAttached

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import CONVERSATION


@pytest.mark.parametrize(("times", "expected"), [(1, "ingress-2"), (0, "ingress-3")])
async def test_commit_goes_to_the_newest_socket_although_an_older_announcement_is_late(
    times: int, expected: str
) -> None:
    """A server that was frozen delivers what it received before; without times, the last announcement counts."""
    harness = ActorHarness()

    def move_and_answer(request: AnswerTurn) -> None:
        for ingress, attached_at in (("ingress-2", 200.0), ("ingress-3", 150.0)):
            attached = SocketAttached(
                conversation=CONVERSATION, ingress=Instance(ingress), attached_at=attached_at * times
            )
            harness.actor.on_socket_attached(attached)
        harness.answer(request)

    harness.work_queue.react = move_and_answer
    harness.deliver(1)
    await harness.actor.run()
    assert harness.notifier.ingresses == [expected]
