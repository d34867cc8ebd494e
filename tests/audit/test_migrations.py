"""The archive's schema."""

from __future__ import annotations

import asyncio

import pytest
from trunkline_audit.adapters.migrations import migrate

from tests.audit.archive import ArchiveReader

pytestmark = pytest.mark.processes


async def test_migrations_twice_are_a_no_op(archive: ArchiveReader) -> None:
    """The second run finds everything applied."""
    applied = await asyncio.to_thread(migrate, archive.dsn)
    assert applied == sorted(applied)
    assert "0001_messages" in applied
    assert await asyncio.to_thread(migrate, archive.dsn) == []


async def test_lock_of_a_killed_process_does_not_stop_the_next(archive: ArchiveReader) -> None:
    """The lock of yoyo is a row that outlives its process; ours is the session's."""
    await asyncio.to_thread(migrate, archive.dsn)
    await archive.fetch("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    assert await asyncio.to_thread(migrate, archive.dsn) == []
