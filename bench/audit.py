"""Audit on a real PostgreSQL: records stored per second, time of a proof, and time of a verification.

    python -m bench.audit DSN [--records N]

DSN is an empty database. Prints JSON: `stored_per_s`, with the tree and its heads; `proof_ms` (p50, p99) of random
records; `verify_s` of the whole export by the stand-alone file; `export_s`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.adapters.tree_reader import open_tree
from trunkline_audit.core.records import AuditedMessage, row_of
from trunkline_cli.audit import archive
from trunkline_protocols import subjects
from trunkline_protocols.ids import conversation_id

_START = datetime(2026, 1, 1, tzinfo=UTC)
_BATCH = 500
_PROOFS = 500
_TEXT = "The refund was paid to your account on Tuesday; it can take three working days until you see it. " * 8


def _message(number: int) -> AuditedMessage:
    payload = json.dumps({"type": "commit", "turn": f"t{number}", "text": _TEXT, "number": number}).encode()
    subject = subjects.log("local", conversation_id(f"{number % 5_000:020d}"), "turn")
    return AuditedMessage("CONVERSATIONS", number, _START + timedelta(milliseconds=number), subject, payload)


async def _store(dsn: str, records: int, heads: HeadSigner) -> float:
    async with PostgresArchive(dsn, name="bench", heads=heads).open() as writer:
        await writer.position("CONVERSATIONS")
        started = time.perf_counter()
        for first in range(1, records + 1, _BATCH):
            last = min(first + _BATCH, records + 1)
            await writer.write([row_of(_message(number), _START) for number in range(first, last)])
        return time.perf_counter() - started


async def _time_proofs(dsn: str, records: int) -> list[float]:
    took: list[float] = []
    async with open_tree(dsn) as tree:
        for _ in range(_PROOFS):
            started = time.perf_counter()
            await tree.proof(random.randrange(records), records)  # noqa: S311 - any record will do
            took.append((time.perf_counter() - started) * 1_000)
    return took


async def _measure(dsn: str, records: int) -> dict[str, object]:
    heads = HeadSigner("local", "b" * 32, now=lambda: datetime.now(UTC))
    stored_s = await _store(dsn, records, heads)
    proofs = await _time_proofs(dsn, records)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "export"
        started = time.perf_counter()
        await archive.export(dsn, folder)
        exported = time.perf_counter()
        verified = await asyncio.to_thread(_verify, folder, heads.public_key.hex())
        verify_s = time.perf_counter() - exported
    quantiles = statistics.quantiles(proofs, n=100)
    return {
        "records": records,
        "stored_per_s": round(records / stored_s),
        "proof_ms": {"p50": round(quantiles[49], 2), "p99": round(quantiles[98], 2)},
        "export_s": round(exported - started, 1),
        "verify_s": round(verify_s, 1),
        "verified": verified,
    }


def _verify(folder: Path, key: str) -> str:
    command = [sys.executable, archive.VERIFIER_NAME, archive.EXPORT_NAME, "--key", key]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure audit on an empty database")
    parser.add_argument("dsn")
    parser.add_argument("--records", type=int, default=100_000)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(_measure(given.dsn, given.records)), indent=2))


if __name__ == "__main__":
    main()
