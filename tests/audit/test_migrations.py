"""Schema migrations of the archive."""

from __future__ import annotations

import asyncio

import pytest
from trunkline_audit.adapters.migrations import migrate

from tests.audit.harness import ArchiveReader

pytestmark = pytest.mark.processes


async def test_migrations_twice_are_a_no_op(archive: ArchiveReader) -> None:
    """The second run applies nothing."""
    applied = await asyncio.to_thread(migrate, archive.dsn)
    assert applied == sorted(applied)
    assert "0001_messages" in applied
    assert await asyncio.to_thread(migrate, archive.dsn) == []


async def test_lock_of_a_killed_process_does_not_block_the_next(archive: ArchiveReader) -> None:
    """Yoyo's lock is a row that outlives its process; the advisory lock ends with its session."""
    await asyncio.to_thread(migrate, archive.dsn)
    await archive.fetch("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    assert await asyncio.to_thread(migrate, archive.dsn) == []
