"""Databases and roles as operators have them: pooled, in other encodings, with few rights and few connections."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from trunkline_audit.adapters.migrations import MigrationError, migrate
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.ports import ArchiveUnavailableError
from trunkline_chassis.bus import Bus
from trunkline_supervisor.adapters.postgres import OWNER
from trunkline_supervisor.adapters.tcp import free_port

from tests.audit.harness import (
    UNSIGNED,
    ArchiveReader,
    MessageProducer,
    recording,
    wait_until,
    wait_until_acknowledged,
    wait_until_recorded,
)
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
TEXT = "Ünïcode → \N{SNOWMAN}"


@asynccontextmanager
async def pooled(server: PostgresServer, dsn: str, folder: Path, mode: str) -> AsyncIterator[str]:
    """Run pgbouncer in front of a database; yield its address for the same role."""
    assert PGBOUNCER is not None
    port = free_port()
    address = urlsplit(dsn)
    (folder / "users").write_text(f'"{OWNER}" "{address.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.paths.socket_dir} port=5432\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {folder / 'users'}\npool_mode = {mode}\ndefault_pool_size = 4\n"
    )
    # It refuses to run as root.
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"] if os.geteuid() == 0 else []
    with (folder / "pgbouncer.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *namespace, PGBOUNCER, str(folder / "pgbouncer.ini"), stdout=log, stderr=log
        )
    try:
        pooled_dsn = f"postgresql://{OWNER}:{address.password}@127.0.0.1:{port}{address.path}"

        async def answers() -> bool:
            try:
                connection = await asyncpg.connect(pooled_dsn, statement_cache_size=0)
            except (OSError, asyncpg.PostgresError):
                return False
            await connection.close()
            return True

        await wait_until(answers)
        yield pooled_dsn
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_archive_behind_a_pool_is_complete(
    bus: Bus, nats_url: str, archive: ArchiveReader, postgres: PostgresServer, tmp_path: Path, mode: str
) -> None:
    """Schema, messages and the change of the writer, with another connection for each transaction."""
    producer = MessageProducer(bus)
    async with pooled(postgres, archive.dsn, tmp_path, mode) as dsn:
        through = ArchiveReader(dsn)
        async with recording(nats_url, through) as first, recording(nats_url, through) as second:
            await producer.publish_turns(20)
            await wait_until_recorded(bus, archive)
            await wait_until_acknowledged(bus)
            assert {first.state, second.state} == {"recording", "standby"}
            writer, other = (first, second) if first.state == "recording" else (second, first)
            await writer.drain(5)
            await producer.publish_turns(5)
            await wait_until_recorded(bus, archive)
            assert other.state == "recording"


async def database_in(server: PostgresServer, name: str, encoding: str) -> str:
    """Create a database in an encoding and return its address."""
    dsn = await server.create_database(name)
    superuser = await asyncpg.connect(server.superuser_dsn)
    await superuser.execute(f'DROP DATABASE "{name}"')
    await superuser.execute(
        f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE template0 ENCODING {encoding}'
        " LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    await superuser.close()
    return dsn


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_database_in_another_encoding_has_the_bytes_of_every_message(
    bus: Bus, nats_url: str, postgres: PostgresServer, encoding: str
) -> None:
    """Text that it cannot represent is missing in the columns for queries, and recording goes on."""
    reader = ArchiveReader(await database_in(postgres, f"audit_{encoding.lower()}", encoding))
    producer = MessageProducer(bus)
    async with recording(nats_url, reader):
        await producer.publish_question("m1", TEXT)
        await bus.append("conv.local.0.c1.turn", f'{{"type": "{TEXT}"}}'.encode(), message_id="odd")
        await producer.publish_turns(3)
        await wait_until_recorded(bus, reader)
        await wait_until_acknowledged(bus)


async def test_message_that_no_form_fits_is_skipped_and_recorded_as_such(
    bus: Bus, nats_url: str, archive: ArchiveReader
) -> None:
    """As with a constraint of the operator: the next messages are recorded, and the skipped one is named."""
    await asyncio.to_thread(migrate, archive.dsn)
    await archive.execute("ALTER TABLE messages ADD CHECK (octet_length(raw) <> 13)")
    sequence = (await bus.append("conv.local.0.c2.turn", b'{"odd": 1234}', message_id="thirteen")).seq
    producer = MessageProducer(bus)
    async with recording(nats_url, archive):
        await producer.publish_turns(3)
        await wait_until_acknowledged(bus)
    skipped = await archive.fetch("SELECT stream, sequence, reason FROM skipped")
    assert [tuple(row) for row in skipped] == [("CONVERSATIONS", sequence, "CheckViolationError")]
    recorded = await archive.fetch("SELECT max(sequence) AS last FROM messages WHERE stream = 'CONVERSATIONS'")
    assert recorded[0]["last"] > sequence


async def test_role_without_create_writes_into_a_schema_that_exists(
    bus: Bus, nats_url: str, archive: ArchiveReader, postgres: PostgresServer
) -> None:
    """Without the schema, the error is one line that names the remedy."""
    name = archive.dsn.rpartition("/")[2].partition("?")[0]
    superuser = await asyncpg.connect(postgres.superuser_dsn.replace("/trunkline?", f"/{name}?"))
    try:
        await superuser.execute(f'ALTER DATABASE "{name}" OWNER TO postgres')
        await superuser.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC, pg_database_owner")
        with pytest.raises(MigrationError, match="grant it CREATE on schema public") as refused:
            await asyncio.to_thread(migrate, archive.dsn)
        assert "\n" not in str(refused.value)
        await superuser.execute(f"GRANT CREATE ON SCHEMA public TO {OWNER}")
        await asyncio.to_thread(migrate, archive.dsn)
        await superuser.execute(f"REVOKE CREATE ON SCHEMA public FROM {OWNER}")
    finally:
        await superuser.close()
    async with recording(nats_url, archive):
        await MessageProducer(bus).publish_turns(3)
        await wait_until_recorded(bus, archive)


async def test_one_connection_is_enough_once_the_schema_exists(
    bus: Bus, nats_url: str, archive: ArchiveReader, postgres: PostgresServer
) -> None:
    """With none, the error is one line."""
    await asyncio.to_thread(migrate, archive.dsn)
    superuser = await asyncpg.connect(postgres.superuser_dsn)
    try:
        await superuser.execute(f"ALTER ROLE {OWNER} CONNECTION LIMIT 1")
        async with recording(nats_url, archive) as recorder:
            await MessageProducer(bus).publish_turns(3)
            await wait_until_acknowledged(bus)
            with pytest.raises(ArchiveUnavailableError, match="too many connections for role") as refused:
                async with PostgresArchive(archive.dsn, name="another", heads=UNSIGNED).open():
                    pass
            assert "\n" not in str(refused.value)
            assert recorder.state == "recording"
    finally:
        await superuser.execute(f"ALTER ROLE {OWNER} CONNECTION LIMIT -1")
        await superuser.close()
