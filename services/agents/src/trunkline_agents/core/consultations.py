"""Which specialists an agent asks for advice: those whose field a part of the message clearly belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from trunkline_protocols.fleet import Agent

from trunkline_agents.core.routing.features import words
from trunkline_agents.core.routing.router import SHORT_WORDS, Choice, Router

MOST_CONSULTS: Final = 2
"""Specialists that are asked for one answer, all at once."""

MOST_PARTS: Final = 16
"""Parts of a message that are looked at: a page of a story must not cost more than the answer to it."""

MARGIN: Final = 0.3
"""How much better the other specialty must score for a part of the message."""

_AND: Final = r"(?:and|but|also|plus)\s+"
_BOUNDARY: Final = re.compile(rf"[.?!;\n]+\s*(?:{_AND})?|,?\s+{_AND}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PlannedConsultation:
    """A part of a message, and who is asked about it."""

    text: str
    choice: Choice


def plan_consultations(router: Router, agent: Agent, text: str) -> list[PlannedConsultation]:
    """Name the questions for other specialists, at most one each; none when the message is one part."""
    if not agent.consult:
        return []
    parts = clauses(text)
    if len(parts) < 2:  # noqa: PLR2004 - one part is the whole message
        return []
    found: dict[str, PlannedConsultation] = {}
    for part in parts[:MOST_PARTS]:
        choice = router.choose(part)
        if choice.specialty in agent.consult and choice.confidence >= MARGIN:
            known = found.get(choice.specialty)
            if known is None or known.choice.confidence < choice.confidence:
                found[choice.specialty] = PlannedConsultation(part, choice)
    return sorted(found.values(), key=lambda question: -question.choice.confidence)[:MOST_CONSULTS]


def clauses(text: str) -> list[str]:
    """Cut a message where a new thought may begin; what is too short to tell anything goes with what precedes it."""
    parts: list[str] = []
    for piece in _BOUNDARY.split(text):
        if len(words(piece)) >= SHORT_WORDS or not parts:
            parts.append(piece.strip())
        elif piece.strip():
            parts[-1] = f"{parts[-1]} {piece.strip()}"
    return [part for part in parts if part]
