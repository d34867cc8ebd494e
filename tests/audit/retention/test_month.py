"""A month of traffic made small: streams and tables stay bounded, archives are complete, every proof still verifies."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from trunkline_audit.core import verifier
from trunkline_audit.core.retention.manifest import unpack
from trunkline_chassis.bus import Bus
from trunkline_cli.audit import archive as auditor
from trunkline_ingress.adapters.nats.conversation_log import NatsConversationLog
from trunkline_ingress.adapters.nats.inbox import NatsInbox
from trunkline_ingress.application.recovery import recover

from tests.audit.harness import ArchiveReader
from tests.audit.retention.harness import REGION, ClientRecord, SmallSuite, hold_on, open_suite

pytestmark = pytest.mark.processes

ROUNDS: Final = 7
DAYS_PER_ROUND: Final = 5
PER_ROUND: Final = 3
"""Conversations that are closed in each round."""


async def prove(suite: SmallSuite, record: ClientRecord) -> str:
    """Return the proofs of a conversation, as an auditor keeps them."""
    out = io.StringIO()
    await auditor.prove(suite.archive.dsn, record.conversation, 0, out)
    return out.getvalue()


def faults_of(lines: Iterable[str], heads: Path | None = None) -> list[str]:
    """Return the faults of an export."""
    checked = verifier.Verification(verifier.read_heads(heads) if heads is not None else ())
    for entry in verifier.read_lines(lines, "export"):
        checked.check(entry)
    checked.finish()
    return checked.faults


def archived(suite: SmallSuite) -> dict[str, list[dict[str, Any]]]:
    """Return the messages of all archives by conversation, as JSON."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in suite.files("*.zst"):
        for entry in unpack(file.read_bytes()):
            if entry["kind"] == "record":
                message = json.loads(base64.b64decode(entry["raw"]))
                found.setdefault(message["conversation"], []).append(message)
    return found


def is_complete(record: ClientRecord, messages: list[dict[str, Any]]) -> bool:
    """Return whether an archive has everything that the client saw, once."""
    questions = [message["text"] for message in messages if message["type"] == "turn.received"]
    events = [event for message in messages if message["type"] == "commit" for event in message["events"]]
    answers = [event["answer"] for event in events if event["event"] == "turn_answered"]
    return (questions, answers) == (record.questions, record.answers)


async def test_month_of_traffic_stays_bounded_and_provable(
    bus: Bus, nats_url: str, archive: ArchiveReader, tmp_path: Path
) -> None:
    """Every fifth day a run; one conversation is held, one is never closed."""
    async with open_suite(nats_url, archive, tmp_path) as suite:
        held, open_one = await suite.traffic.converse(customer="held"), await suite.traffic.converse(close=False)
        await suite.hold(hold_on(held))
        closed: list[list[ClientRecord]] = []
        proofs: list[str] = []
        with (tmp_path / "heads.jsonl").open("w", encoding="utf-8") as witness:
            for number in range(ROUNDS):
                suite.clock.days = number * DAYS_PER_ROUND
                closed.append([await suite.traffic.converse() for _ in range(PER_ROUND)])
                await suite.settle()
                proofs += [await prove(suite, record) for record in (*closed[-1], held, open_one)]
                await auditor.print_heads(archive.dsn, witness, after=0, follow=False)
                await suite.retention().run()

        kept = [record for records in closed[-2:] for record in records] + [held, open_one]
        gone = [record for records in closed[:-2] for record in records]
        for record in kept:
            assert len(await suite.stream("INBOX", record)) == len(record.questions) + record.is_closed
            assert len(await suite.stream("CONVERSATIONS", record)) == len(record.questions) + record.is_closed
            assert await suite.texts(record) == 2 * (len(record.questions) + record.is_closed)
        copies = archived(suite)
        for record in gone:
            assert await suite.stream("INBOX", record) == []
            assert len(await suite.stream("CONVERSATIONS", record)) <= 1
            assert await suite.texts(record) == 0
            assert is_complete(record, copies[record.conversation])
        assert held.conversation not in copies
        assert open_one.conversation not in copies
        # Bounded: nothing is left of the first conversations but their leaves, of the later ones their markers.
        assert await suite.stream("CONVERSATIONS", closed[0][0]) == []
        assert (await bus.api("STREAM.INFO.KV_SNAPSHOTS"))["state"]["messages"] == len(kept)
        await check_proofs(suite, [*proofs, await prove(suite, gone[0])], tmp_path)
        await check_returning_customer(bus, closed[-4][0])


async def check_proofs(suite: SmallSuite, proofs: list[str], folder: Path) -> None:
    """Every proof and head of before still verifies; so do the database, its archives, and each archive alone."""
    for proof in proofs:
        assert faults_of(proof.splitlines()) == []
    heads = folder / "heads.jsonl"
    checked = await auditor.verify(suite.archive.dsn, heads, suite.signer.public_key.hex())
    assert checked.faults == []
    assert (checked.unread, checked.archived) == ([], checked.in_archives)
    assert checked.archived > 0
    await auditor.export(suite.archive.dsn, folder / "export")
    assert faults_of((folder / "export" / "export.jsonl").read_text("utf-8").splitlines(), heads) == []
    manifests = suite.files("manifest.json")
    assert len(manifests) > 1
    for manifest in manifests:
        done = await asyncio.to_thread(run_verifier, manifest.parent, suite.signer.public_key.hex())
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert {file.stat().st_mode & 0o777 for file in manifest.parent.iterdir()} == {0o400}


def run_verifier(folder: Path, key: str) -> subprocess.CompletedProcess[str]:
    """Run the file of an archive alone: isolated from this environment's packages of ours."""
    command = [sys.executable, "-P", "verify.py", "manifest.json", "--key", key]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


async def check_returning_customer(bus: Bus, record: ClientRecord) -> None:
    """A customer of an archived conversation is told that it is closed, and the next frame has its number."""
    log, inbox = NatsConversationLog(bus), NatsInbox(bus)
    ledger, missed = await recover(inbox, log, REGION, record.conversation, last_seq=1)
    assert ledger.closed
    assert ledger.last_seq == 1 + 2 * len(record.questions) + 1
    assert [frame.seq for frame in missed] == [ledger.last_seq]
