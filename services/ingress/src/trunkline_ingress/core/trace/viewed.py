"""Trace steps of stream VIEWS: operators who read the conversation."""

from __future__ import annotations

from typing import Final, NamedTuple

from trunkline_protocols.streams import VIEWS
from trunkline_protocols.views import ConversationViewed, View

from trunkline_ingress.core.trace.steps import TraceStep, tag_of

_FORMS: Final[dict[View, str]] = {
    "desk": "the conversation at the desk",
    "trace": "the trace",
    "queue": "the case in the queue",
    "review": "the message in the review",
    "customer": "the last messages with the customer's data",
    "export": "an export of the customer's data",
}


class ViewEntry(NamedTuple):
    """A stored view, with subject and sequence."""

    subject: str
    sequence: int
    viewed: ConversationViewed


def step_of_view(entry: ViewEntry) -> TraceStep:
    """Return the step of one view."""
    viewed = entry.viewed
    name = viewed.operator or "shared token"
    return TraceStep(
        at=viewed.at,
        from_=f"operator {name}",
        to="conversation",
        subject=entry.subject,
        type=tag_of(viewed),
        summary=f"{name} ({viewed.role}) read {_FORMS[viewed.view]}",
        detail={"operator": viewed.operator, "role": viewed.role, "view": viewed.view},
        stream=VIEWS.name,
        sequence=entry.sequence,
    )
