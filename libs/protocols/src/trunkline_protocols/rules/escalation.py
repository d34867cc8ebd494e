"""Order of the escalation queue: customers who are there first, then urgency times age, relative to the SLA."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from trunkline_protocols.escalation import URGENCIES, Escalation, EscalationWaiting, Urgency

_WEIGHTS: Final[dict[Urgency, float]] = {"low": 1.0, "normal": 2.0, "high": 4.0, "critical": 8.0}


def higher(urgency: Urgency, other: Urgency) -> Urgency:
    """Return the more urgent of two."""
    return max(urgency, other, key=URGENCIES.index)


def raised(urgency: Urgency) -> Urgency:
    """Return the next urgency up; critical stays critical."""
    return URGENCIES[min(URGENCIES.index(urgency) + 1, len(URGENCIES) - 1)]


def pressure_of(urgency: Urgency, *, age_s: float, allowed_s: float) -> float:
    """Return the pressure: urgency weight x (1 + age / SLA), so that a new entry counts too."""
    return _WEIGHTS[urgency] * (1.0 + max(0.0, age_s) / max(1.0, allowed_s))


def pressure(escalation: Escalation, now: float) -> float:
    """Return the pressure of an escalation at `now`."""
    return pressure_of(escalation.urgency, age_s=now - escalation.since, allowed_s=escalation.due_at - escalation.since)


def queue(waiting: Iterable[EscalationWaiting], now: float) -> list[EscalationWaiting]:
    """Return the unclaimed entries, highest pressure first; entries whose customer is gone come last."""
    unclaimed = [entry for entry in waiting if not entry.escalation.claimed_by]
    return sorted(unclaimed, key=lambda entry: _rank(entry.conversation, entry.escalation, now, entry.gone_since))


def queue_position(waiting: Iterable[EscalationWaiting], conversation: str, escalation: Escalation, now: float) -> int:
    """Return the queue position of a conversation's escalation, queued already or not; 1 is the next."""
    unclaimed, gone_since = [], 0.0
    for entry in waiting:
        if entry.conversation == conversation:
            gone_since = entry.gone_since
        elif not entry.escalation.claimed_by:
            unclaimed.append(entry)
    rank = _rank(conversation, escalation, now, gone_since)
    return 1 + sum(_rank(entry.conversation, entry.escalation, now, entry.gone_since) < rank for entry in unclaimed)


def _rank(conversation: str, escalation: Escalation, now: float, gone_since: float) -> tuple[bool, float, float, str]:
    """Return the sort key: customers who are there first, then the highest pressure, then the longest wait."""
    return gone_since > 0, -pressure(escalation, now), escalation.since, conversation
