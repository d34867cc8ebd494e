"""Monitor of the customers in the escalation queue: reports who is gone and who is back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trunkline_protocols.ids import partition_of, slot_of
from trunkline_protocols.presence import Presence

from trunkline_conversation.core.customer_sockets import (
    AbsenceChange,
    absence_changes,
    absences,
    attached_conversations,
)
from trunkline_conversation.ports import EscalationQueue


class CustomerSocketMonitor:
    """Compares the entries of the queue with the sockets that the ingresses report in their heartbeats."""

    def __init__(
        self,
        escalation_queue: EscalationQueue,
        ingresses: Callable[[], Iterable[Presence]],
        *,
        now: Callable[[], float],
    ) -> None:
        """`ingresses` returns the live ingresses, `now` the Unix time in seconds."""
        self._escalation_queue = escalation_queue
        self._ingresses = ingresses
        self._now = now
        self._absent: dict[str, float] = {}

    def changes(self, slots: Iterable[int]) -> list[AbsenceChange]:
        """Return the changes of conversations in the given slots; none while the sockets are unknown."""
        attached = attached_conversations(self._ingresses())
        if attached is None:
            self._absent = {}
            return []
        held = frozenset(slots)
        entries = [
            entry for entry in self._escalation_queue.entries() if slot_of(partition_of(entry.conversation)) in held
        ]
        now = self._now()
        self._absent = absences(entries, attached, self._absent, now)
        return absence_changes(entries, self._absent, now)
