"""Order of work when all permits are taken: urgency times age, relative to the SLA."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.rules.escalation import pressure_of
from trunkline_protocols.turn import AnswerTurn

_DEFAULT_SLA_S: Final = 900.0
"""Time allowed for work without an SLA."""


def priority(request: AnswerTurn, now: float) -> float:
    """Return the priority of a request; the highest is admitted first."""
    allowed_s = request.due_at - request.dispatched_at if request.due_at else _DEFAULT_SLA_S
    return pressure_of(request.urgency, age_s=now - request.dispatched_at, allowed_s=allowed_s)
