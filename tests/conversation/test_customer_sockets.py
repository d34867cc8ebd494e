"""Customers in the escalation queue who close the page and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import pytest
from trunkline_conversation.application.actor import Envelope, SocketChanged
from trunkline_conversation.application.customer_socket_monitor import CustomerSocketMonitor
from trunkline_conversation.core.customer_sockets import GONE_AFTER_S, attached_conversations
from trunkline_protocols.escalation import Escalation, EscalationWaiting
from trunkline_protocols.ids import SLOTS, ConversationId, partition_of, slot_of
from trunkline_protocols.presence import Presence, ProcessState

from tests.conversation.actor_harness import ActorHarness, FakeEscalationQueue
from tests.conversation.builders import CONVERSATION, received

ALL_SLOTS: Final = range(SLOTS)
NOW: Final = 1_000.0


def ingress(*attached: str, state: ProcessState = "ready", reports: bool = True) -> Presence:
    """Return the presence of an ingress that holds these sockets."""
    return Presence(
        service="ingress",
        instance="ingress-1",
        pid=1,
        state=state,
        version="1",
        node="n",
        started_at=0.0,
        at=0.0,
        attached=list(attached) if reports else None,
    )


def entry(conversation: str, **changes: float) -> EscalationWaiting:
    """Return an entry of the queue."""
    escalation = Escalation(level="person", urgency="high", reason="r", summary="s", since=1.0, due_at=2.0)
    waiting = EscalationWaiting(
        conversation=ConversationId(conversation),
        region="local",
        tenant="default",
        customer="ada",
        escalation=escalation,
    )
    return msgspec.structs.replace(waiting, **changes)


class Scene:
    """A monitor over a queue, with a clock and ingresses that the test sets."""

    def __init__(self, *entries: EscalationWaiting) -> None:
        """Start with these entries at `NOW`."""
        self.queue = FakeEscalationQueue({entry.conversation: entry for entry in entries})
        self.ingresses: list[Presence] = []
        self.now = NOW
        self.monitor = CustomerSocketMonitor(self.queue, lambda: self.ingresses, now=lambda: self.now)

    def at(self, now: float, *ingresses: Presence, slots: Sequence[int] = ALL_SLOTS) -> list[tuple[str, float]]:
        """Return the changes at a time, and apply them to the queue."""
        self.now, self.ingresses = now, list(ingresses)
        changes = self.monitor.changes(slots)
        for conversation, gone_since in changes:
            self.queue.waiting[conversation] = msgspec.structs.replace(
                self.queue.waiting[conversation], gone_since=gone_since
            )
        return [(str(conversation), gone_since) for conversation, gone_since in changes]


def test_customer_is_gone_after_the_grace_period_and_back_at_once() -> None:
    """The recorded time is that of the first absence; a reload of the page changes nothing."""
    scene = Scene(entry("c1"), entry("c2"))
    assert scene.at(NOW, ingress("c1"), ingress("c2")) == []
    assert scene.at(NOW + 1, ingress("c1"), ingress()) == []
    assert scene.at(NOW + 1 + GONE_AFTER_S, ingress("c1"), ingress()) == [("c2", NOW + 1)]
    assert scene.at(NOW + 60, ingress("c1"), ingress()) == []
    assert scene.at(NOW + 61, ingress("c1", "c2")) == [("c2", 0.0)]
    assert scene.at(NOW + 62, ingress("c1")) == []
    assert scene.at(NOW + 63, ingress("c1", "c2")) == []
    assert scene.at(NOW + 63 + GONE_AFTER_S, ingress("c1", "c2")) == []


@pytest.mark.parametrize(
    "unknown", [[], [ingress("c1"), ingress(reports=False)], [ingress("c1"), ingress(state="starting", reports=False)]]
)
def test_nobody_is_gone_while_the_sockets_are_unknown(unknown: list[Presence]) -> None:
    """An ingress of an older version, or one that starts, reports nothing; the grace period then starts again."""
    scene = Scene(entry("c1"), entry("c2", gone_since=5.0))
    assert attached_conversations(unknown) is None
    for second in range(20):
        assert scene.at(NOW + second, *unknown) == []
    assert scene.at(NOW + 20, ingress()) == []


@pytest.mark.parametrize("state", ["restarting", "failed", "stopped"])
def test_dead_ingress_holds_no_socket(state: ProcessState) -> None:
    """Its last heartbeat is still known for a while."""
    assert attached_conversations([ingress("c1", state=state), ingress("c2")]) == frozenset({"c2"})
    assert attached_conversations([ingress("c1", state=state)]) is None


def test_only_the_owner_of_the_slot_reports_a_change() -> None:
    """So that an entry has one writer."""
    held = slot_of(partition_of(ConversationId("c1")))
    elsewhere = [slot for slot in ALL_SLOTS if slot != held]
    scene = Scene(entry("c1"))
    scene.at(NOW, ingress(), slots=elsewhere)
    assert scene.at(NOW + 60, ingress(), slots=elsewhere) == []
    scene.at(NOW + 60, ingress())
    assert scene.at(NOW + 70, ingress()) == [("c1", NOW + 60)]


def test_recorded_time_survives_the_process_that_recorded_it() -> None:
    """A successor takes it from the entry."""
    scene = Scene(entry("c1", gone_since=NOW - 600))
    assert scene.at(NOW, ingress()) == []
    assert scene.queue.waiting["c1"].gone_since == NOW - 600


async def test_change_of_the_socket_is_kept_by_later_updates_of_the_entry() -> None:
    """And written by the conversation itself, which is the only writer of its entry."""
    harness = ActorHarness()
    harness.deliver(1, received(1, text="I want to speak to a person"))
    await harness.actor.run()

    async def nothing(*_: object) -> None:
        pass

    for gone_since in (90.0, 0.0, 95.0):
        harness.actor.offer(Envelope(0, SocketChanged(gone_since), done=nothing, dead_letter=nothing))
        await harness.actor.run()
        assert harness.escalation_queue.waiting[CONVERSATION].gone_since == gone_since
    harness.deliver(2, received(2, previous=1, text="Are you there?"))
    await harness.actor.run()
    kept = harness.escalation_queue.waiting[CONVERSATION]
    assert (kept.last_message, kept.gone_since) == ("Are you there?", 95.0)
