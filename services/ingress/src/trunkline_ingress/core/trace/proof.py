"""Proof of a trace: whether the records that it shows are those of the signed tree of records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
from trunkline_protocols.archives import ProvenRecord, SignedHead

_KEY_CHARACTERS: Final = 8


class RecordKey(NamedTuple):
    """Place of a message in a stream."""

    stream: str
    sequence: int


class ProvenRecords(NamedTuple):
    """Records of a conversation that the tree of a signed head has, and the faults that were found."""

    head: SignedHead | None
    records: Sequence[ProvenRecord]
    faults: Sequence[str]


class TraceProof(msgspec.Struct, frozen=True, kw_only=True):
    """Proof of the records that a trace shows, verified when it was read."""

    summary: str
    """One sentence."""
    records: int
    """Records that the trace shows."""
    proven: int
    """Those that the head's tree has, with the bytes that are shown."""
    head: SignedHead | None = None
    faults: list[str] = []
    unavailable: str = ""
    """Reason for which nothing could be proven."""


def proof_of(shown: Mapping[RecordKey, str], proven: ProvenRecords) -> tuple[TraceProof, dict[RecordKey, int]]:
    """Return the proof of records, given with the hashes of their bytes, and their leaves in the tree.

    A record whose hash is unknown is not proven: its bytes could not be read again.
    """
    faults = [*proven.faults]
    leaves: dict[RecordKey, int] = {}
    for record in proven.records:
        key = RecordKey(record.stream, record.sequence)
        if key not in shown:
            continue
        if shown[key] and shown[key] != record.sha256:
            faults.append(f"{key.stream} {key.sequence} is not the message that is record {record.leaf}")
        elif shown[key]:
            leaves[key] = record.leaf
    proof = TraceProof(
        summary=_summary(len(shown), len(leaves), proven.head, faults),
        records=len(shown),
        proven=len(leaves),
        head=proven.head,
        faults=faults,
    )
    return proof, leaves


def no_proof(shown: Iterable[RecordKey], reason: str) -> TraceProof:
    """Return that nothing could be proven."""
    return TraceProof(summary=f"Records not proven: {reason}", records=len(set(shown)), proven=0, unavailable=reason)


def _summary(records: int, proven: int, head: SignedHead | None, faults: Sequence[str]) -> str:
    if head is None:
        return "Records not proven: the archive has no head yet"
    at = datetime.fromtimestamp(head.at / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    signed = f"signed with key {head.key[:_KEY_CHARACTERS]}" if head.key else "not signed"
    faulty = f"; {len(faults)} faults: {'; '.join(faults)}" if faults else ""
    return f"{proven} of {records} records proven by the head of {head.size} records of {at}, {signed}{faulty}"
