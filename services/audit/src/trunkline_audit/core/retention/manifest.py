"""The archive of a run: objects with records and their proofs, and the manifest that lists them.

An object is an export of single records (`core.verifier`), compressed; its bytes follow from the records, the head and
the time of the run, so that a repetition writes the same object.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from trunkline_protocols.decoding import DecodeError, decode

from trunkline_audit.core.leaves import microseconds
from trunkline_audit.core.verifier import FORMAT, decompress, read_lines

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MANIFEST_NAME: Final = "manifest.json"
VERIFIER_NAME: Final = "verify.py"
_HASH_CHARACTERS: Final = 16
_LEVEL: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveObject:
    """One object of an archive; `sha256` in hex, of the compressed bytes."""

    name: str
    sha256: str
    bytes: int
    records: int
    first_leaf: int
    last_leaf: int


@dataclass(frozen=True, slots=True)
class ArchiveRun:
    """A run: its name, its time, the size of the signed head that its proofs lead to, its place and its state."""

    name: str
    as_of: datetime
    size: int
    location: str
    is_verified: bool = False


def run_name(as_of: datetime) -> str:
    """Return the name of a run, which sorts by time."""
    return as_of.strftime("%Y%m%dT%H%M%S%fZ")


def pack(header: Sequence[dict[str, Any]], records: Iterable[dict[str, Any]]) -> bytes:
    """Return the compressed lines of an object: log, head, and records with proofs."""
    lines = [json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in (*header, *records)]
    return compress(("\n".join(lines) + "\n").encode())


def compress(content: bytes) -> bytes:
    """Compress deterministically: the same content gives the same bytes."""
    return bytes(zstd.compress(content, level=_LEVEL))


def unpack(packed: bytes) -> list[dict[str, Any]]:
    """Return the entries of an object, each with its kind; raise `ValueError` if it is damaged."""
    try:
        entries = list(read_lines(decompress(packed).decode().splitlines(), "object"))
    except RecursionError as error:
        raise ValueError("an entry is nested too deep") from error
    if not all("kind" in entry for entry in entries):
        raise ValueError("an entry has no kind")
    return entries


def read_manifest(packed: bytes) -> dict[str, Any]:
    """Return a manifest; raise `ValueError` for anything else."""
    try:
        manifest: dict[str, Any] = decode(packed, dict)
    except DecodeError as error:
        raise ValueError("the manifest cannot be decoded") from error
    if manifest.get("kind") != "archive":
        raise ValueError("not the manifest of an archive")
    return manifest


def object_of(run: ArchiveRun, number: int, packed: bytes, records: Sequence[dict[str, Any]]) -> ArchiveObject:
    """Return the description of an object."""
    digest = hashlib.sha256(packed).hexdigest()
    leaves = [record["leaf"] for record in records]
    return ArchiveObject(
        name=f"{run.name}/{number:05d}-{digest[:_HASH_CHARACTERS]}.jsonl.zst",
        sha256=digest,
        bytes=len(packed),
        records=len(records),
        first_leaf=min(leaves),
        last_leaf=max(leaves),
    )


def manifest_of(run: ArchiveRun, header: Sequence[dict[str, Any]], objects: Sequence[ArchiveObject]) -> bytes:
    """Return the manifest of a run, as JSON."""
    log, head = header
    manifest = {
        "kind": "archive",
        "format": FORMAT,
        "run": run.name,
        "at": microseconds(run.as_of),
        "keys": log["keys"],
        "head": head,
        "objects": [
            {
                "name": each.name.rpartition("/")[2],
                "sha256": each.sha256,
                "bytes": each.bytes,
                "records": each.records,
                "leaves": [each.first_leaf, each.last_leaf],
            }
            for each in objects
        ],
    }
    return f"{json.dumps(manifest, indent=1)}\n".encode()
