"""Handoff: ownership moves to another specialty within the turn, epoch + 1.

Several may be asked for at once: the surest that exists and is up wins, and among equals the one that was asked for
first. When none is up, whoever has the conversation answers as well as it can; when none exists, or the turn has moved
too often already, it is escalated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from trunkline_protocols.log import HandedOff
from trunkline_protocols.turn import HandOff, HandOffTarget

from trunkline_conversation.core.escalations import escalate
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Environment, Step, Turn, Work, opening

MAX_HOPS: Final = 4
"""Changes of specialty in one turn; one more and the turn is escalated."""


def hand_off(state: Conversation, turn: Turn, result: HandOff, environment: Environment) -> Step:
    """Decide what a handoff that was asked for means."""
    asked_for = [HandOffTarget(to=result.to, agent=result.agent, confidence=result.confidence), *result.others]
    known = [
        target for target in asked_for if target.to in environment.specialties and target.to != turn.work.specialty
    ]
    names = ", ".join(target.to for target in asked_for)
    if not known:
        reason = f"{result.specialty} wanted to hand over to {names}, which cannot take it"
        return escalate(state, turn, environment, reason=reason, summary=result.summary)
    if turn.work.hop >= MAX_HOPS:
        reason = f"handed over {turn.work.hop} times without an answer"
        return escalate(state, turn, environment, reason=reason, summary=result.summary)
    winner = arbitrate(known, environment.down)
    if winner is None:
        return replace(turn.work, hop=turn.work.hop + 1, attempt=1, agent=state.agent)
    event = HandedOff(
        from_=result.specialty,
        to=winner.to,
        agent=winner.agent,
        reason=result.reason,
        summary=result.summary,
        model=result.model,
        usage=result.usage,
        timings=result.timings,
        instance=result.instance,
        asked_for=[target.to for target in asked_for] if len(asked_for) > 1 else [],
    )
    then = Work(winner.to, winner.agent, turn.work.hop + 1, handed_off_from=result.specialty)
    return Append("handoff", [*opening(state, turn), event], winner.to, winner.agent, state.epoch + 1, then)


def arbitrate(targets: list[HandOffTarget], down: frozenset[str]) -> HandOffTarget | None:
    """Return the surest target that is up, among equals the first; None when all are down."""
    up = [target for target in targets if target.to not in down]
    return max(up, key=lambda target: target.confidence, default=None)
