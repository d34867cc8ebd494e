"""In what order work is taken when there is more of it than hands: urgency x age, by what the SLA allows."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.turn import AnswerTurn, Urgency

_WEIGHTS: Final[dict[Urgency, float]] = {"low": 1.0, "normal": 2.0, "high": 4.0, "critical": 8.0}
_USUAL_S: Final = 900.0
"""What is allowed where no SLA runs."""


def pressure(order: AnswerTurn, now: float) -> float:
    """How much a piece of work presses."""
    age_s = max(0.0, now - order.dispatched_at)
    allowed_s = max(1.0, order.due_at - order.dispatched_at) if order.due_at else _USUAL_S
    return _WEIGHTS[order.urgency] * (1.0 + age_s / allowed_s)
