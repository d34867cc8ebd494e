"""The next hop of a turn, as the conversation process would request it after triage's choice."""

from __future__ import annotations

import msgspec
from trunkline_protocols.turn import AnswerTurn, Routed


def next_hop(request: AnswerTurn, routed: Routed, *, dispatched_at: float) -> AnswerTurn:
    """Return the request to the chosen specialty; `dispatched_at` is the time of the choice in Unix seconds."""
    return msgspec.structs.replace(
        request,
        ref=msgspec.structs.replace(request.ref, hop=request.ref.hop + 1, attempt=1),
        specialty=routed.to,
        agent=routed.agent,
        analysis=routed.analysis,
        dispatched_at=dispatched_at,
        lane="normal",
        urgency="normal",
        due_at=0.0,
        is_waiting=False,
    )
