"""Timestamps of heads by an authority: requested, stored, exported, and checked without Trunkline."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from trunkline_audit.adapters.head_signer import HeadSigner
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.adapters.stored_timestamps import PostgresTimestamps
from trunkline_audit.adapters.timestamp_authority import HttpTimestampAuthority
from trunkline_audit.application.head_timestamper import HeadTimestamper
from trunkline_audit.core import timestamp_verifier
from trunkline_audit.core.records import row_of
from trunkline_audit.ports import AuthorityUnavailableError
from trunkline_chassis.bus import Bus
from trunkline_cli.audit import archive as auditor
from trunkline_cli.errors import CommandError

from tests.audit.harness import ArchiveReader, MessageProducer, wait_until
from tests.audit.process import audit_processes
from tests.audit.test_tampering import START, messages
from tests.support.timestamp_authority import NEEDS_OPENSSL, Authority, served

pytestmark = [pytest.mark.processes, NEEDS_OPENSSL]

EVERY_S: Final = 3_600.0


@dataclass(slots=True)
class Clock:
    """A clock that is ahead by some hours."""

    hours: float = 0.0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=self.hours)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return an authority of its own."""
    return Authority(tmp_path / "tsa")


class Records:
    """A writer of records whose heads are timestamped."""

    def __init__(self, archive: ArchiveReader, url: str, clock: Clock) -> None:
        self._archive = archive
        store = PostgresTimestamps(archive.dsn)
        self._timestamper = HeadTimestamper(
            HttpTimestampAuthority(url), store, every_s=EVERY_S, now=clock, min_retry_s=0.05
        )
        signer = HeadSigner("local", "s" * 32, now=clock)
        self._writing = PostgresArchive(archive.dsn, name="test", heads=signer, on_head=self._timestamper.offer)
        self._count = 0

    async def add(self) -> None:
        """Store ten records and sign their head."""
        async with self._writing.open() as writer:
            await writer.position("CONVERSATIONS")
            rows = [row_of(message, START) for message in messages("CONVERSATIONS", self._count + 1, 10)]
            assert await writer.write(rows) == len(rows)
        self._count += 10

    @asynccontextmanager
    async def timestamped(self) -> AsyncIterator[None]:
        """Have heads timestamped until the block ends."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._timestamper.run())
            yield
            task.cancel()

    async def sizes(self) -> list[int]:
        """Return the sizes of the heads with a timestamp."""
        return [row["size"] for row in await self._archive.fetch("SELECT size FROM tree_timestamps ORDER BY size")]

    async def wait_for(self, *sizes: int) -> None:
        """Wait until these heads have timestamps, and no other."""

        async def are_stamped() -> bool:
            return await self.sizes() == list(sizes)

        await wait_until(are_stamped)


async def test_head_is_timestamped_once_an_hour_and_checked_without_trunkline(
    archive: ArchiveReader, authority: Authority, tmp_path: Path
) -> None:
    """A refusal is repeated, and the timestamp of another request is refused; none is requested without new records."""
    clock = Clock()
    async with served(authority) as url:
        records = Records(archive, url, clock)
        authority.fault = "refuse"
        async with records.timestamped():
            await records.add()

            async def has_tried() -> bool:
                return authority.requests >= 2

            await wait_until(has_tried)
            authority.fault = ""
            await records.wait_for(10)
            await records.add()
        clock.hours = 2
        authority.fault = "other"
        requests = authority.requests
        async with records.timestamped():
            await wait_until(lambda: _is_over(authority, requests + 1))
            assert await records.sizes() == [10]
            authority.fault = ""
            await records.wait_for(10, 20)
        clock.hours = 9
        requests = authority.requests
        async with records.timestamped():
            await records.add()
            await records.wait_for(10, 20, 30)
        assert authority.requests == requests + 1
    folder = tmp_path / "export"
    await auditor.export(archive.dsn, folder)
    done = await asyncio.to_thread(run_verifier, folder, authority.certificates)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "3 timestamps: no fault\n")
    assert await auditor.verify_timestamps(archive.dsn, authority.certificates) == (3, [])
    await check_forgeries(archive, authority, folder, tmp_path)


async def _is_over(authority: Authority, requests: int) -> bool:
    return authority.requests > requests


async def check_forgeries(archive: ArchiveReader, authority: Authority, folder: Path, tmp_path: Path) -> None:
    """Every other authority, head or token is a fault."""
    stranger = await asyncio.to_thread(Authority, tmp_path / "stranger")
    count, faults = await auditor.verify_timestamps(archive.dsn, stranger.certificates)
    assert (count, len(faults)) == (3, 3)
    done = await asyncio.to_thread(run_verifier, folder, stranger.certificates)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 4)
    lines = [json.loads(line) for line in (folder / "timestamps.jsonl").read_text("utf-8").splitlines()]
    heads = [json.loads(line) for line in (folder / "export.jsonl").read_text("utf-8").splitlines()]
    heads = [head for head in heads if head["kind"] == "head"]
    trusted = authority.certificates.read_bytes()

    def faults_of(**changed: Any) -> list[str]:
        return timestamp_verifier.check_timestamps([lines[0] | changed], heads, trusted)

    assert faults_of() == []
    assert faults_of(token=lines[1]["token"]) == ["timestamp of 10 records: Mismatch between messages"]
    assert faults_of(size=11) == ["timestamp of 11 records: there is no such head"]
    assert faults_of(root="00" * 32) == ["timestamp of 10 records: there is no such head"]
    assert faults_of(at=1) == ["timestamp of 10 records: its time is not that of the token"]
    for token in (b"", b"x", base64.b64decode(lines[0]["token"])[:-1]):
        assert len(faults_of(token=base64.b64encode(token).decode())) == 1
    with pytest.raises(CommandError, match=r"none\.pem"):
        await auditor.verify_timestamps(archive.dsn, tmp_path / "none.pem")


def run_verifier(folder: Path, certificates: Path) -> subprocess.CompletedProcess[str]:
    """Run the exported file alone."""
    arguments = ["timestamps.jsonl", auditor.EXPORT_NAME, "--ca", str(certificates)]
    command = [sys.executable, "-P", auditor.TIMESTAMP_VERIFIER_NAME, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("reply", [b"", b"x" * 100_000])
async def test_reply_that_is_no_timestamp_is_refused(reply: bytes) -> None:
    """It is not stored, whatever its size."""

    class Broken(Authority):
        def __init__(self) -> None:
            pass

        async def handle(self, request: Any) -> Any:
            return web.Response(body=reply)

    async with served(Broken()) as url:
        with pytest.raises(AuthorityUnavailableError, match="no granted timestamp"):
            await HttpTimestampAuthority(url).stamp(b"data")
    with pytest.raises(AuthorityUnavailableError, match="does not answer"):
        await HttpTimestampAuthority(url).stamp(b"data")


async def test_process_has_its_heads_timestamped(
    bus: Bus, nats_url: str, archive: ArchiveReader, authority: Authority, tmp_path: Path
) -> None:
    """By the settings."""
    async with served(authority) as url, audit_processes(nats_url, archive, tmp_path / "audit.log") as start:
        process = start(AUDIT_SECRET="s" * 32, AUDIT_TSA_URL=url)
        await process.wait_for_status("/readyz", 200)
        await MessageProducer(bus).publish_turns(1)

        async def is_stamped() -> bool:
            return await process.metric("trunkline_audit_timestamps_total") == 1

        await wait_until(is_stamped)
    assert (await auditor.verify_timestamps(archive.dsn, authority.certificates)) == (1, [])


def test_exported_file_needs_no_package_of_ours() -> None:
    """It is Python 3.9, with the standard library, cryptography and rfc3161-client."""
    tree = ast.parse(Path(timestamp_verifier.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    foreign = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    assert foreign == {"cryptography", "rfc3161_client"}
