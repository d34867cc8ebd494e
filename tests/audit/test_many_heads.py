"""A head is signed a second: a verification reads millions of them, and keeps none that is compared."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from trunkline_audit.adapters.session import connected
from trunkline_audit.core import verifier
from trunkline_cli.audit import archive as auditor

from tests.audit.harness import ArchiveReader
from tests.audit.test_tampering import RECORDS, filled

__all__ = ["filled"]
pytestmark = pytest.mark.processes


async def _many_heads(archive: ArchiveReader, count: int) -> None:
    """Store as many records, each with a head of its own, unsigned: the smallest archive with that many heads."""
    frontier, rows = verifier.Frontier(), []
    for number in range(count):
        entry = {"stream": "INBOX", "sequence": number + 1, "at": 0, "received_at": 0, "subject": "inbox.local.1.c"}
        frontier.append(verifier.leaf_hash(entry | {"sha256": verifier.sha256(b"{}").hex()}))
        rows.append((number + 1, "local", frontier.root(), datetime.fromtimestamp(0, UTC), "", b""))
    await archive.execute(
        "TRUNCATE messages, tree_heads, tree_tiles, tree_keys; "  # noqa: S608 - a number
        "INSERT INTO messages (stream, sequence, at, received_at, subject, raw, sha256, leaf, region, payload) "
        "SELECT 'INBOX', n, to_timestamp(0), to_timestamp(0), 'inbox.local.1.c', '{}', sha256('{}'), n - 1, 'local', "
        f"'{{}}' FROM generate_series(1, {count}) AS n"
    )
    async with connected(archive.dsn) as connection:
        columns = ["size", "log", "root", "at", "key", "signature"]
        await connection.copy_records_to_table("tree_heads", records=rows, columns=columns)


async def test_many_heads_are_verified_in_bounded_memory(filled: ArchiveReader, tmp_path: Path) -> None:
    """By the command and by the exported file: each head is compared when its last record is read."""
    peaks = []
    for count in (2_000, 8_000):
        await _many_heads(filled, count)
        tracemalloc.start()
        try:
            report = await auditor.verify(filled.dsn, None, "")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert (report.records, report.heads, report.uncovered) == (count, count, 0)
        assert [fault for fault in report.faults if "column" not in fault] == []
        folder = tmp_path / str(count)
        await auditor.export(filled.dsn, folder)
        program = (
            "import sys, tracemalloc, verify; tracemalloc.start(); sys.argv[1:] = ['export.jsonl']; verify.main(); "
            "print(tracemalloc.get_traced_memory()[1])"
        )
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
        )
        summary, peak = done.stdout.splitlines()
        assert summary.startswith(f"{count} records, {count} heads, 0 uncovered: no fault"), summary
        peaks.append(int(peak))
    # 6,000 heads more take over 1.2 MiB if they are kept: 215 bytes for each root alone.
    assert peaks[2] - peaks[0] < 768 * 1024, peaks
    assert peaks[3] - peaks[1] < 768 * 1024, peaks


async def test_export_with_all_heads_before_the_records_is_verified(filled: ArchiveReader, tmp_path: Path) -> None:
    """As earlier versions wrote it; a head behind its records is a fault, since it was moved."""
    await auditor.export(filled.dsn, tmp_path / "export")
    export = tmp_path / "export" / auditor.EXPORT_NAME
    lines = (await asyncio.to_thread(export.read_text)).splitlines(keepends=True)
    heads = [line for line in lines if '"kind": "head"' in line]
    others = [line for line in lines if line not in heads]

    def faults(order: list[str]) -> list[str]:
        checked = verifier.Verification()
        for entry in verifier.read_lines(order, "export"):
            checked.check(entry)
        checked.finish()
        return checked.faults

    assert faults(lines) == faults([others[0], *heads, *others[1:]]) == []
    moved = faults([*others, *heads])
    assert moved == [
        f"head of {json.loads(head)['size']} records: it follows record {RECORDS - 1}" for head in heads[:-1]
    ]
    forged = json.dumps(json.loads(heads[-1]) | {"root": "00" * 32})
    for order in ([forged if line == heads[-1] else line for line in lines], [*lines, forged]):
        assert any(f"are not those of the head of {RECORDS} records" in fault for fault in faults(order))
