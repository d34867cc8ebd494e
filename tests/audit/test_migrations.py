"""Schema migrations of the archive."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import psycopg
import pytest
import trunkline_audit
from trunkline_audit.adapters.migrations import migrate

from tests.audit.harness import ArchiveReader

pytestmark = pytest.mark.processes
MIGRATIONS: Final = Path(trunkline_audit.__file__).parent / "migrations"
FAILING_RECORD: Final = """
DROP VIEW conversation_messages;
DROP TABLE messages, positions;
DELETE FROM _yoyo_migration;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no record'; END $$;
CREATE TRIGGER refusal BEFORE INSERT ON _yoyo_migration FOR EACH ROW EXECUTE FUNCTION refuse();
"""
"""An empty schema in which a migration cannot be recorded."""


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


async def test_tables_without_their_record_do_not_stop_a_start(archive: ArchiveReader) -> None:
    """A process was killed before it had recorded its first migration; what the tables hold is kept."""
    await archive.execute((MIGRATIONS / "0001_messages.sql").read_text(encoding="utf-8"))
    await archive.fetch("INSERT INTO positions VALUES ('INBOX', 7, now())")
    assert await asyncio.to_thread(migrate, archive.dsn) == sorted(file.stem for file in MIGRATIONS.glob("*.sql"))
    assert [row["sequence"] for row in await archive.fetch("SELECT sequence FROM positions")] == [7]
    assert await asyncio.to_thread(migrate, archive.dsn) == []


async def test_migration_that_cannot_be_recorded_is_undone(archive: ArchiveReader) -> None:
    """The migration and its record are one transaction, so that one is never there without the other."""
    await asyncio.to_thread(migrate, archive.dsn)
    await archive.execute(FAILING_RECORD)
    with pytest.raises(psycopg.Error, match="no record"):
        await asyncio.to_thread(migrate, archive.dsn)
    assert await archive.fetch("SELECT 1 FROM pg_class WHERE relname IN ('messages', 'positions')") == []
    await archive.fetch("DROP TRIGGER refusal ON _yoyo_migration")
    assert "0001_messages" in await asyncio.to_thread(migrate, archive.dsn)
