"""Planning of consultations: an agent consults the specialists whose field clearly matches a part of the message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_language.terms import tokenize
from trunkline_protocols.fleet import Agent

from trunkline_agents.core.routing.router import MIN_WORDS, Router, RoutingChoice

MAX_CONSULTATIONS: Final = 2
"""Concurrent consultations per answer."""

MAX_PARTS: Final = 16
"""Parts of a message that are classified, so that planning for a very long message costs less than its answer."""

MARGIN: Final = 0.3
"""Score lead that another specialty needs for a part of the message."""

_AND: Final = r"(?:and|but|also|plus)\s+"
_BOUNDARY: Final = re.compile(rf"[.?!;\n]+\s*(?:{_AND})?|,?\s+{_AND}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PlannedConsultation:
    """A part of a message and the specialist to consult about it."""

    text: str
    choice: RoutingChoice


def plan_consultations(router: Router, agent: Agent, text: str) -> list[PlannedConsultation]:
    """Plan at most one consultation per specialist; none if the message has a single part."""
    if not agent.consult:
        return []
    parts = split_clauses(text)
    if len(parts) < 2:  # noqa: PLR2004 - one part is the whole message
        return []
    best: dict[str, PlannedConsultation] = {}
    for part in parts[:MAX_PARTS]:
        choice = router.choose(part)
        if choice.specialty in agent.consult and choice.confidence >= MARGIN:
            known = best.get(choice.specialty)
            if known is None or known.choice.confidence < choice.confidence:
                best[choice.specialty] = PlannedConsultation(part, choice)
    return sorted(best.values(), key=lambda planned: -planned.choice.confidence)[:MAX_CONSULTATIONS]


def unconsulted(text: str, planned: Sequence[PlannedConsultation]) -> str:
    """Return the parts of a message that no specialist is consulted about; the whole message if there are none."""
    consulted = {each.text for each in planned}
    return ". ".join(part for part in split_clauses(text) if part not in consulted) or text


def split_clauses(text: str) -> list[str]:
    """Split a message at sentence and clause boundaries; too short a clause is joined to the one before it."""
    parts: list[str] = []
    for piece in _BOUNDARY.split(text):
        if len(tokenize(piece)) >= MIN_WORDS or not parts:
            parts.append(piece.strip())
        elif piece.strip():
            parts[-1] = f"{parts[-1]} {piece.strip()}"
    return [part for part in parts if part]
