"""Trace of a conversation: every message in time order with sender, recipient, duration, cost and a summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace
from trunkline_protocols.log import CommitStored

from trunkline_ingress.core.trace.committed import steps_of_commit
from trunkline_ingress.core.trace.proof import ProvenRecords, RecordKey, TraceProof, no_proof, proof_of
from trunkline_ingress.core.trace.received import step_of_message
from trunkline_ingress.core.trace.steps import InboxEntry, Trace, TraceStep
from trunkline_ingress.core.trace.viewed import ViewEntry, step_of_view

__all__ = [
    "InboxEntry",
    "ProvenRecords",
    "RecordKey",
    "Trace",
    "TraceProof",
    "TraceStep",
    "ViewEntry",
    "build_trace",
    "no_proof",
    "proof_of",
    "with_proof",
]


def build_trace(
    conversation: str,
    inbox: Iterable[InboxEntry],
    commits: Iterable[CommitStored],
    archives: Iterable[str] = (),
    views: Iterable[ViewEntry] = (),
) -> Trace:
    """Merge the messages of customer and desk with the commits and the views of operators, ordered by time."""
    steps = [step_of_message(entry) for entry in inbox]
    for stored in commits:
        steps.extend(steps_of_commit(stored))
    steps += [step_of_view(view) for view in views]
    return Trace(conversation=conversation, steps=sorted(steps, key=lambda step: step.at), archives=[*archives])


def with_proof(trace: Trace, proof: TraceProof, leaves: Mapping[RecordKey, int]) -> Trace:
    """Return a trace with its proof, and each step with the leaf of its record."""
    steps = [replace(step, leaf=leaves.get(RecordKey(step.stream, step.sequence))) for step in trace.steps]
    return replace(trace, steps=steps, proof=proof)
