"""Handoff: ownership moves to another specialty within the turn, epoch + 1.

An agent may request several targets: the one with the highest confidence that exists and is up wins, the first of
equals. If no target is up, the current owner answers. If no target exists, or the turn has reached the limit of hops,
the conversation is escalated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from trunkline_protocols.log import HandedOff
from trunkline_protocols.turn import HandOff, HandOffTarget

from trunkline_conversation.core.escalations import EscalationOrigin, escalate
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Environment, Step, Turn, Work, opening

MAX_HOPS: Final = 4
"""Maximum changes of specialty per turn; the next one escalates."""


def hand_off(state: Conversation, turn: Turn, result: HandOff, environment: Environment) -> Step:
    """Decide the next step for a handoff request."""
    requested = [HandOffTarget(to=result.to, agent=result.agent, confidence=result.confidence), *result.others]
    known = [
        target for target in requested if target.to in environment.specialties and target.to != turn.work.specialty
    ]
    names = ", ".join(target.to for target in requested)
    if not known:
        reason = f"{result.specialty} requested a handoff to {names}, which is not possible"
        return escalate(state, turn, environment, reason=reason, origin=_origin(result))
    if turn.work.hop >= MAX_HOPS:
        reason = f"{turn.work.hop} handoffs without an answer"
        return escalate(state, turn, environment, reason=reason, origin=_origin(result))
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
        candidates=[target.to for target in requested] if len(requested) > 1 else [],
        provider=result.provider,
        from_agent=result.from_agent,
        confidence=winner.confidence,
        evidence=result.evidence,
        retrieved=result.retrieved,
    )
    then = Work(winner.to, winner.agent, turn.work.hop + 1)
    return Append("handoff", [*opening(state, turn), event], winner.to, winner.agent, state.epoch + 1, then)


def _origin(result: HandOff) -> EscalationOrigin:
    """Return the origin of an escalation that takes the place of a handoff."""
    return EscalationOrigin(
        summary=result.summary,
        agent=result.from_agent,
        instance=result.instance,
        provider=result.provider,
        model=result.model,
        usage=result.usage,
        retrieved=result.retrieved,
    )


def arbitrate(targets: list[HandOffTarget], down: frozenset[str]) -> HandOffTarget | None:
    """Return the target with the highest confidence that is up, the first of equals; None if all are down."""
    up = [target for target in targets if target.to not in down]
    return max(up, key=lambda target: target.confidence, default=None)
