"""Sockets of customers in the escalation queue: who is there, and since when the others are gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.presence import Presence

GONE_AFTER_S: Final = 5.0
"""A shorter absence is a reload of the page or a reconnection."""
_RUNNING: Final = frozenset({"starting", "ready", "draining"})


class AbsenceChange(NamedTuple):
    """A customer is gone since a time, or is back if it is 0."""

    conversation: ConversationId
    gone_since: float


def attached_conversations(ingresses: Iterable[Presence]) -> frozenset[str] | None:
    """Return the escalated conversations with a socket; None if that is unknown.

    It is unknown if no ingress runs, or if one starts or reports no conversations.
    """
    running = [ingress for ingress in ingresses if ingress.state in _RUNNING]
    attached: set[str] = set()
    for ingress in running:
        if ingress.attached is None:
            return None
        attached.update(ingress.attached)
    return frozenset(attached) if running else None


def absences(
    entries: Iterable[EscalationWaiting], attached: frozenset[str], before: Mapping[str, float], now: float
) -> dict[str, float]:
    """Return since when each absent customer was not seen; `before`: the last result."""
    return {
        entry.conversation: before.get(entry.conversation, entry.gone_since or now)
        for entry in entries
        if entry.conversation not in attached
    }


def absence_changes(
    entries: Iterable[EscalationWaiting], absent: Mapping[str, float], now: float
) -> list[AbsenceChange]:
    """Return the entries to change: customers gone for `GONE_AFTER_S`, and customers who are back."""
    changes = []
    for entry in entries:
        since = absent.get(entry.conversation)
        if since is None:
            if entry.gone_since:
                changes.append(AbsenceChange(entry.conversation, 0.0))
        elif not entry.gone_since and now - since >= GONE_AFTER_S:
            changes.append(AbsenceChange(entry.conversation, since))
    return changes
