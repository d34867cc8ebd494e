"""A month of traffic made small: streams and tables stay bounded, archives are complete, every proof still verifies."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from trunkline_audit.adapters.archive_reader import ArchivedConversations
from trunkline_audit.core import verifier
from trunkline_chassis.bus import Bus
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_cli.audit import archive as auditor
from trunkline_ingress.adapters.nats.conversation_log import NatsConversationLog
from trunkline_ingress.adapters.nats.inbox import NatsInbox
from trunkline_ingress.application.recovery import recover
from trunkline_protocols.archives import ReadArchived

from tests.audit.harness import ArchiveReader
from tests.audit.retention.harness import REGION, ClientRecord, SmallSuite, open_suite
from tests.audit.retention.killed_run import killed_runs
from tests.audit.retention.month import (
    DAYS,
    FIRST_STEADY_DAY,
    HELD_CUSTOMER,
    KEEP_DAYS,
    RELEASE_DAY,
    Month,
    archived,
    is_complete,
    prove,
)

pytestmark = pytest.mark.processes

_TOLERANCE: Final = 1.05
"""Of sizes in bytes: numbers of frames and sequences get longer."""


def faults_of(lines: Iterable[str], heads: Path | None = None) -> list[str]:
    """Return the faults of an export."""
    checked = verifier.Verification(verifier.read_heads(heads) if heads is not None else ())
    for entry in verifier.read_lines(lines, "export"):
        checked.check(entry)
    checked.finish()
    return checked.faults


@pytest.mark.parametrize("per_day", [34, pytest.param(160, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
async def test_month_of_traffic_stays_bounded_and_provable(
    bus: Bus, nats_url: str, archive: ArchiveReader, tmp_path: Path, per_day: int
) -> None:
    """With a run a day, one of which fails and one of which is killed, and holds."""
    heads = tmp_path / "heads.jsonl"
    async with open_suite(nats_url, archive, tmp_path) as suite, killed_runs(suite, KEEP_DAYS) as killed:
        with heads.open("w", encoding="utf-8") as witness:
            month = Month(suite, killed, witness, per_day)
            await month.run()
        check_bounds(month)
        await check_kept_and_gone(month)
        await check_proofs(suite, [*month.proofs, await prove(suite, month.days[0][0])], heads, tmp_path)
        await check_reading(suite, [month.days[0][0], month.days[DAYS - 1 - KEEP_DAYS][0]])
        await check_returning_customer(bus, month.days[DAYS - 1 - KEEP_DAYS][0])


def check_bounds(month: Month) -> None:
    """Live is only what rules, holds and markers keep, each day, and the end of the month has as much as its middle."""
    assert [each.numbers for each in month.sizes] == month.expected
    steady, later = month.sizes[FIRST_STEADY_DAY:RELEASE_DAY], month.sizes[RELEASE_DAY:]
    for name in ("inbox_bytes", "log_bytes", "row_bytes"):
        bound = max(getattr(each, name) for each in steady)
        assert max(getattr(each, name) for each in later) <= _TOLERANCE * bound, name
    written = sum(len(each.questions) + each.is_closed for each in month.records)
    assert written > 4 * month.expected[-1].inbox, "most of the month is gone"


async def check_kept_and_gone(month: Month) -> None:
    """Held conversations have their texts in streams and rows; archives have the others, every message once."""
    suite = month.suite
    copies = await asyncio.to_thread(archived, suite)
    held = [record for record in month.records if record.customer == HELD_CUSTOMER]
    assert held
    assert month.held_one is not None
    assert month.gone[month.held_one.conversation] == RELEASE_DAY, "released"
    for record in held:
        messages = len(record.questions) + 1
        assert len(await suite.stream("INBOX", record)) == len(await suite.stream("CONVERSATIONS", record)) == messages
        assert await suite.texts(record) == 2 * messages
    assert copies.keys() == month.gone.keys()
    for record in month.records:
        if record.conversation in copies:
            assert is_complete(record, copies[record.conversation])


async def check_proofs(suite: SmallSuite, proofs: list[str], heads: Path, folder: Path) -> None:
    """Every proof and head of before still verifies; so do the database, its archives, and an archive alone."""
    for proof in proofs:
        assert faults_of(proof.splitlines()) == []
    checked = await auditor.verify(suite.archive.dsn, heads, suite.signer.public_key.hex())
    assert checked.faults == []
    assert (checked.unread, checked.archived) == ([], checked.in_archives)
    assert checked.archived > 0
    await auditor.export(suite.archive.dsn, folder / "export")
    assert faults_of((folder / "export" / "export.jsonl").read_text("utf-8").splitlines(), heads) == []
    manifests = suite.files("manifest.json")
    # One a day from the first due day on; the archive of the failed run is completed by the next.
    assert len(manifests) == DAYS - KEEP_DAYS - 1
    for manifest in manifests[:: len(manifests) // 4]:
        done = await asyncio.to_thread(run_verifier, manifest.parent, suite.signer.public_key.hex())
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert {file.stat().st_mode & 0o777 for file in manifest.parent.iterdir()} == {0o400}


def run_verifier(folder: Path, key: str) -> subprocess.CompletedProcess[str]:
    """Run the file of an archive alone: isolated from this environment's packages of ours."""
    command = [sys.executable, "-P", "verify.py", "manifest.json", "--key", key]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


async def check_reading(suite: SmallSuite, records: list[ClientRecord]) -> None:
    """An archived conversation is read back as its client saw it."""
    source = ArchivedConversations(suite.archive.dsn, ObstoreObjectStore)
    for record in records:
        found = await source.read(ReadArchived(conversation=record.conversation))
        assert not found.has_more
        assert is_complete(record, [json.loads(each.payload) for each in found.records])


async def check_returning_customer(bus: Bus, record: ClientRecord) -> None:
    """A customer of an archived conversation is told that it is closed, and the next frame has its number."""
    log, inbox = NatsConversationLog(bus), NatsInbox(bus)
    ledger, missed = await recover(inbox, log, REGION, record.conversation, last_seq=1)
    assert ledger.closed
    assert ledger.last_seq == 1 + 2 * len(record.questions) + 1
    assert [frame.seq for frame in missed] == [ledger.last_seq]
