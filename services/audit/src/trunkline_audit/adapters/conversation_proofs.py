"""Proofs that the records of a conversation are in the tree of records, verified as an auditor verifies them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from trunkline_protocols.archives import ProvenRecord, ProveRecords, RecordsProven, SignedHead

from trunkline_audit.adapters.session import map_errors
from trunkline_audit.adapters.tree_reader import IncompleteTreeError, TreeReader, open_tree, record_entry
from trunkline_audit.core.records import ArchiveRow
from trunkline_audit.core.verifier import MAX_FAULTS, Verification, leaf_hash, root_by_proof

_PAGE: Final = 500


class ConversationProofs:
    """Proves records with the verifier that an export carries."""

    def __init__(self, dsn: str) -> None:
        """`dsn` is the address of PostgreSQL."""
        self._dsn = dsn

    async def prove(self, request: ProveRecords) -> RecordsProven:
        """Return the proven records of a conversation up to the latest head; raises `ArchiveUnavailableError`."""
        with map_errors():
            async with open_tree(self._dsn) as tree:
                return await _prove(tree, request)


async def _prove(tree: TreeReader, request: ProveRecords) -> RecordsProven:
    head = await tree.head()
    if head is None:
        return RecordsProven(conversation=request.conversation)
    log = await tree.log(whole=False)
    proven: list[ProvenRecord] = []
    rows = await tree.rows_of(request.conversation, after=request.after, before=head["size"], limit=_PAGE)
    try:
        proofs = await tree.proofs([leaf for leaf, _ in rows], head["size"])
    except IncompleteTreeError as error:
        faults = [f"no proof: {error}"]
    else:
        faults, proven = await asyncio.to_thread(_verify, log, head, rows, proofs)
    return RecordsProven(
        conversation=request.conversation,
        head=SignedHead(**{name: head[name] for name in SignedHead.__struct_fields__}),
        records=proven,
        faults=faults,
        has_more=len(rows) == _PAGE and not faults,
    )


def _verify(
    log: dict[str, Any], head: dict[str, Any], rows: list[tuple[int, ArchiveRow]], proofs: list[list[bytes]]
) -> tuple[list[str], list[ProvenRecord]]:
    """Return the faults, and the records whose proofs lead to the head; without its signature no record is proven."""
    verification = Verification()
    verification.check(log)
    verification.check(head)
    if verification.faults:
        return verification.faults, []
    faults: list[str] = []
    proven: list[ProvenRecord] = []
    for (leaf, row), proof in zip(rows, proofs, strict=True):
        root = root_by_proof(leaf_hash(record_entry(leaf, row)), leaf, head["size"], proof)
        if root is not None and root.hex() == head["root"]:
            proven.append(ProvenRecord(leaf=leaf, stream=row.stream, sequence=row.sequence, sha256=row.sha256.hex()))
        elif len(faults) < MAX_FAULTS:
            faults.append(f"record {leaf}: its proof does not lead to the head of {head['size']} records")
    return faults, proven
