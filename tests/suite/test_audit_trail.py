"""An auditor's commands on a running suite."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, trunkline, wait_until

pytestmark = pytest.mark.processes


def audit(suite: Suite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `trunkline audit` with the data folder of a suite."""
    command = [trunkline(), "audit", *arguments, "--data-dir", str(suite.data_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_conversation_is_proven_without_trunkline(suite: Suite, tmp_path: Path) -> None:
    """By a head that was signed within a second of it, and by the exported file alone."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "When will my refund be paid to my bank?")

    def is_proven() -> bool:
        done = audit(suite, "prove", customer.conversation)
        (tmp_path / "proof.jsonl").write_text(done.stdout, encoding="utf-8")
        return '"stream": "CONVERSATIONS"' in done.stdout

    await asyncio.to_thread(wait_until, is_proven, "the conversation has proofs")
    folder = tmp_path / "export"
    exported = await asyncio.to_thread(audit, suite, "export", str(folder))
    assert exported.returncode == 0, exported.stderr
    for export in (folder / "export.jsonl", tmp_path / "proof.jsonl"):
        command = [sys.executable, str(folder / "verify.py"), str(export)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert done.stdout.endswith(": no fault\n")
    again = await asyncio.to_thread(audit, suite, "export", str(folder))
    assert (again.returncode, again.stderr) == (1, f"trunkline: {folder}: File exists; name a new folder\n")


async def test_operator_who_reads_a_conversation_is_in_its_proof(suite: Suite) -> None:
    """Once a minute, by trace as at the desk."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "When will my refund be paid to my bank?")
    for _ in range(3):
        assert (await asyncio.to_thread(run_cli, suite, "trace", customer.conversation)).returncode == 0
    await asyncio.to_thread(suite.get, f"/v1/ops/desk/{customer.conversation}")

    def views() -> list[Any]:
        lines = audit(suite, "prove", customer.conversation).stdout.splitlines()
        entries = [json.loads(line) for line in lines]
        raw = [base64.b64decode(entry["raw"]) for entry in entries if entry.get("stream") == "VIEWS"]
        return [json.loads(each) for each in raw]

    await asyncio.to_thread(wait_until, lambda: len(views()) > 1, "both views are recorded")
    found = await asyncio.to_thread(views)
    assert {each["view"] for each in found} == {"trace", "desk"}
    assert len(found) <= 3, "one view a minute, of which two may have begun"
    assert {(each["type"], each["role"]) for each in found} == {("conversation.viewed", "admin")}


async def test_verification_is_readable_by_programs(suite: Suite) -> None:
    """With the heads of a witness beside."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "When will my refund be paid to my bank?")
    await asyncio.to_thread(wait_until, lambda: bool(audit(suite, "heads").stdout), "a head is signed")
    heads = await asyncio.to_thread(audit, suite, "heads")
    witness = suite.data_dir / "witness.jsonl"
    await asyncio.to_thread(witness.write_text, heads.stdout)
    done = await asyncio.to_thread(audit, suite, "verify", "--json", "--heads", str(witness))
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["broken"]) == (0, True, [])
    assert report["records"] >= json.loads(heads.stdout.splitlines()[-1])["size"]
    assert (report["first"], report["last"]) == (0, report["records"] - 1)

    def proven() -> bool:
        return audit(suite, "verify", "--conversation", customer.conversation).returncode == 0

    await asyncio.to_thread(wait_until, proven, "a head covers the conversation")
    done = await asyncio.to_thread(audit, suite, "verify", "--json", "--conversation", customer.conversation)
    one = json.loads(done.stdout)
    assert (one["ok"], one["broken"]) == (True, [])
    assert 0 < one["records"] < report["records"]
    assert 0 <= one["first"] <= one["last"]


async def test_absent_archive_is_one_line(tmp_path: Path) -> None:
    """That names what to do."""
    command = [trunkline(), "audit", "verify", "--data-dir", str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"trunkline: no PostgreSQL: {tmp_path}/secrets/pg_service.conf cannot be read; "
        "name one with --postgres or TRUNKLINE_POSTGRES_DSN\n"
    )
