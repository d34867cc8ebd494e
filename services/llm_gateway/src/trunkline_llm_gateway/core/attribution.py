"""Additions to an answer beside the model's own text: broadcasts before it, colleagues' advice after it."""

from __future__ import annotations

from trunkline_protocols.citations import Citation
from trunkline_protocols.completion import AdviceNote, Complete


def attribute(advice: AdviceNote) -> str:
    """Return the advice as a sentence that names its specialist."""
    return f"Our {advice.title.lower()} adds: {advice.text}"


def advice_citations(request: Complete) -> list[Citation]:
    """Return the citations of all advice in a request."""
    return [citation for advice in request.advice for citation in advice.citations]


def briefing(request: Complete) -> list[str]:
    """Return the sections of a system prompt on broadcasts and advice."""
    parts = []
    if request.notices:
        notices = "\n".join(f"- {notice}" for notice in request.notices)
        parts.append(f"Announcements in force; begin with those that matter to the customer, word for word:\n{notices}")
    if request.advice:
        advice = "\n".join(f"- {note.title}: {note.text}" for note in request.advice)
        parts.append(f"Advice of colleagues; use it, and say whose it is:\n{advice}")
    return parts
