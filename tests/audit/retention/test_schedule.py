"""Retention that the audit process runs by itself, every few hours: here every second."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from trunkline_chassis.bus import Bus
from trunkline_cli.audit import archive as auditor
from trunkline_protocols import codec, subjects

from tests.audit.harness import ArchiveReader, wait_until
from tests.audit.process import audit_processes
from tests.audit.retention.harness import SECRET, open_suite
from tests.audit.retention.month import archived, is_complete

pytestmark = pytest.mark.processes

EVERY_H = "0.0003"
ARCHIVED = "trunkline_retention_archived_total"
FAILED = "trunkline_retention_failed_total"
NAMES = ("audit-1", "audit-2")


async def state_of(bus: Bus, instance: str) -> str:
    """Return the state of retention in the heartbeat of a process."""
    found = await bus.last_message("KV_PRESENCE", subjects.presence("audit", instance))
    return codec.presence.decode(found.payload).detail["retention"] if found is not None else ""


async def test_scheduled_runs_of_two_processes_make_one_archive(
    bus: Bus, nats_url: str, archive: ArchiveReader, tmp_path: Path
) -> None:
    """While the store cannot be written they fail visibly and trim nothing; once it can, one run does everything."""
    policy, store, log = tmp_path / "retention.toml", tmp_path / "archives", tmp_path / "audit.log"
    policy.write_text('[[rule]]\nkind = ["conversation", "inbox"]\nkeep = "3d"\n', encoding="utf-8")
    store.write_text("not a folder", encoding="utf-8")
    async with open_suite(nats_url, archive, tmp_path) as suite:
        suite.clock.days = -30
        records = [await suite.traffic.converse() for _ in range(3)]
        await suite.settle()
        suite.clock.days = 0
        young = await suite.traffic.converse()
        await suite.settle()
    messages = sum(2 * len(each.questions) + 2 for each in records)
    async with audit_processes(nats_url, archive, log) as start:
        common = {"RETENTION_POLICY": str(policy), "RETENTION_URL": str(store), "RETENTION_EVERY_H": EVERY_H}
        processes = [start(INSTANCE=name, AUDIT_SECRET=SECRET, **common) for name in NAMES]

        async def have_failed() -> bool:
            states = [await state_of(bus, name) for name in NAMES]
            failures = sum([await each.metric(FAILED) for each in processes])
            return failures >= 2 and any(each.startswith("failed: ") for each in states)

        await wait_until(have_failed)
        assert await archive.fetch("SELECT FROM messages WHERE raw IS NULL") == []
        await asyncio.to_thread(store.unlink)

        async def have_completed() -> bool:
            states = [await state_of(bus, name) for name in NAMES]
            rows = await archive.fetch("SELECT count(*) FROM messages WHERE raw IS NULL")
            return states == ["completed", "completed"] and rows[0][0] == messages

        await wait_until(have_completed)
        assert sum([await each.metric(ARCHIVED) for each in processes]) == messages
        assert [each.end(signal.SIGTERM) for each in processes] == [0, 0]
    copies = archived(suite)
    assert copies.keys() == {each.conversation for each in records}
    assert all(is_complete(each, copies[each.conversation]) for each in records)
    assert len(suite.files("manifest.json")) == 1
    assert await suite.texts(young) == 2 * len(young.questions) + 2
    checked = await auditor.verify(archive.dsn, None, suite.signer.public_key.hex())
    assert (checked.faults, checked.unread, checked.archived) == ([], [], messages)
    events = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    done = [each for each in events if each["event"] == "retention.done" and each["archived"]]
    assert [each["archived"] for each in done] == [messages]
    assert {each["every_h"] for each in events if each["event"] == "retention.policy"} == {float(EVERY_H)}
