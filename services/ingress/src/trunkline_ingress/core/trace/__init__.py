"""Trace of a conversation: every message in time order with sender, recipient, duration, cost and a summary."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_protocols.log import CommitStored

from trunkline_ingress.core.trace.committed import steps_of_commit
from trunkline_ingress.core.trace.received import step_of_message
from trunkline_ingress.core.trace.steps import InboxEntry, Trace, TraceStep

__all__ = ["InboxEntry", "Trace", "TraceStep", "build_trace"]


def build_trace(
    conversation: str, inbox: Iterable[InboxEntry], commits: Iterable[CommitStored], archives: Iterable[str] = ()
) -> Trace:
    """Merge the messages of customer and desk with the commits, ordered by time."""
    steps = [step_of_message(entry) for entry in inbox]
    for stored in commits:
        steps.extend(steps_of_commit(stored))
    return Trace(conversation=conversation, steps=sorted(steps, key=lambda step: step.at), archives=[*archives])
