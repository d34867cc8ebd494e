"""In what order work is taken when there is more of it than hands: urgency x age, by what the SLA allows."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.rules.escalation import pressure_of
from trunkline_protocols.turn import AnswerTurn

_USUAL_S: Final = 900.0
"""What is allowed where no SLA runs."""


def pressure(request: AnswerTurn, now: float) -> float:
    """How much a piece of work presses."""
    allowed_s = request.due_at - request.dispatched_at if request.due_at else _USUAL_S
    return pressure_of(request.urgency, age_s=now - request.dispatched_at, allowed_s=allowed_s)
