"""The embedded PostgreSQL: access, conversion of an open data directory, crashes and interrupted preparations."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_supervisor.adapters.postgres import OWNER, SUPERUSER, initialise

from tests.audit.harness import UNSIGNED, wait_until
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.processes


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """Return a server of this test alone; an earlier preparation of its folder was interrupted."""
    incomplete = tmp_path / "data.incomplete-killed" / "base"
    incomplete.mkdir(parents=True)
    server = PostgresServer(tmp_path)
    assert not incomplete.exists()
    yield server
    server.kill()


async def test_killed_server_restarts_although_a_session_outlives_it(server: PostgresServer, tmp_path: Path) -> None:
    """A session that executes a query keeps the shared memory, and another process may have the server's old pid."""
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    observer = await asyncpg.connect(server.dsn)
    async with asyncio.TaskGroup() as tasks:
        query = tasks.create_task(_execute_until_killed(connection))

        async def query_runs() -> bool:
            return bool(
                await observer.fetch(
                    "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%generate%' AND pid <> pg_backend_pid()"
                )
            )

        await wait_until(query_runs)
        server.kill()
        lock = tmp_path / "data" / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))
        await server.start()
        await query
    again = await asyncpg.connect(server.dsn)
    assert await again.fetchval("SHOW server_encoding") == "UTF8"
    assert await again.fetchval("SHOW listen_addresses") == ""
    await again.close()


async def _execute_until_killed(connection: asyncpg.Connection) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute("SELECT sum(i) FROM generate_series(1, 100000000000) i")


async def test_superuser_whose_password_is_lost_gets_a_new_one(server: PostgresServer, tmp_path: Path) -> None:
    """A power cut has left an empty file: without it, no start could prepare the database again."""
    await server.start()
    server.stop()
    server.paths.password_file(SUPERUSER).write_text("")
    again = PostgresServer(tmp_path)
    await again.start()
    try:
        connection = await asyncpg.connect(again.dsn)
        await connection.close()
    finally:
        again.kill()


async def test_services_use_a_role_that_owns_one_database_and_nothing_else(server: PostgresServer) -> None:
    """A stolen password of the archive reads no other database, runs no program and creates no role."""
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    try:
        rights = await connection.fetchrow(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = $1",
            OWNER,
        )
        assert rights is not None
        assert set(rights.values()) == {False}
        owned = "SELECT datname FROM pg_database WHERE pg_has_role($1, datdba, 'MEMBER')"
        assert [row[0] for row in await connection.fetch(owned, OWNER)] == ["trunkline"]
        for statement in (
            "COPY (SELECT 1) TO PROGRAM 'id'",
            "COPY (SELECT 1) TO '/tmp/trunkline-test'",
            "SELECT pg_read_file('/etc/passwd')",
            "CREATE ROLE other",
            "CREATE DATABASE other",
            f"SET ROLE {SUPERUSER}",
            "SELECT * FROM pg_authid",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("role", [OWNER, SUPERUSER])
async def test_connection_needs_the_password_and_the_right_database(server: PostgresServer, role: str) -> None:
    """Also for the account that the server runs as."""
    await server.start()
    for password in ("", "wrong"):
        with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InterfaceError)):
            await asyncpg.connect(host=str(server.paths.socket_dir), user=role, password=password, database="trunkline")
    if role == OWNER:
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(server.paths.dsn(database="postgres"))


async def test_server_listens_on_its_private_socket_alone(server: PostgresServer, tmp_path: Path) -> None:
    """And its passwords are in files of the owner alone, in no argument of a process."""
    await server.start()
    [process] = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(server.paths.data) in (process.info["cmdline"] or ())
    ]
    assert process.net_connections("inet") == []
    assert stat.S_IMODE(server.paths.socket_dir.stat().st_mode) == 0o700
    secrets = list((tmp_path / "secrets").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}
    arguments = " ".join(process.info["cmdline"])
    assert not [file for file in secrets if file.name.startswith("postgres-") and file.read_text() in arguments]


async def test_open_data_directory_of_an_earlier_version_is_closed_and_keeps_its_rows(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Every account could connect as superuser, which owned all tables."""
    await server.start()
    await _open_as_before(server, tmp_path)
    await server.start()
    superuser = await asyncpg.connect(server.superuser_dsn)
    owner = await asyncpg.connect(server.dsn)
    try:
        assert await owner.fetchval("SELECT text FROM old_view") == "kept"
        await owner.execute("ALTER TABLE old_table ADD COLUMN more text")
        assert await owner.fetchval("INSERT INTO old_table (text) VALUES ('new') RETURNING id") == 2
        await owner.execute("DROP FUNCTION old_function")
        rules = await superuser.fetch("SELECT DISTINCT type, auth_method FROM pg_hba_file_rules")
        assert [tuple(rule) for rule in rules] == [("local", "scram-sha-256")]
    finally:
        await superuser.close()
        await owner.close()
    async with PostgresArchive(server.dsn, name="test", heads=UNSIGNED).open() as writer:
        assert await writer.position("INBOX") == 0
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host=str(server.paths.socket_dir), user=SUPERUSER, password="x", database="postgres")


async def _open_as_before(server: PostgresServer, folder: Path) -> None:
    """Give the data directory the access rules, the roles and the owner of objects of the earlier version."""
    server.stop()
    (server.paths.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
    server.launch()
    host = str(server.paths.socket_dir)
    try:
        first: list[asyncpg.Connection] = []

        async def connects() -> bool:
            try:
                first.append(await asyncpg.connect(host=host, user=SUPERUSER, database="postgres"))
            except (OSError, asyncpg.PostgresError):
                return False
            return True

        await wait_until(connects)
        for statement in (
            "DROP DATABASE trunkline",
            "DROP ROLE trunkline",
            "ALTER ROLE postgres PASSWORD NULL",
            "CREATE DATABASE trunkline",
        ):
            await first[0].execute(statement)
        await first[0].close()
        second = await asyncpg.connect(host=host, user=SUPERUSER, database="trunkline")
        await second.execute(
            """
            CREATE TABLE old_table (id serial, text text);
            INSERT INTO old_table (text) VALUES ('kept');
            CREATE VIEW old_view AS SELECT text FROM old_table;
            CREATE FUNCTION old_function() RETURNS int LANGUAGE sql AS 'SELECT 1';
            """
        )
        await second.close()
    finally:
        server.stop()
    (folder / "secrets" / "postgres-superuser").unlink()
    initialise(server.paths)


async def test_script_of_the_container_creates_the_same_role(server: PostgresServer) -> None:
    """As compose.yaml runs it: after the image has created the database as superuser."""
    await server.start()
    superuser = await asyncpg.connect(server.paths.dsn(SUPERUSER, "postgres"))
    for statement in ("DROP DATABASE trunkline", "DROP ROLE trunkline", "CREATE DATABASE trunkline"):
        await superuser.execute(statement)
    password = server.paths.password_file(SUPERUSER).read_text()
    environment = {
        "PATH": f"{Path(server.command[server.command.index('-D') - 1]).parent}:{os.environ['PATH']}",
        "PGHOST": str(server.paths.socket_dir),
        "PGPASSWORD": password,
        "POSTGRES_USER": SUPERUSER,
        "POSTGRES_DB": "trunkline",
        "TRUNKLINE_POSTGRES_PASSWORD": "it's secret",
    }
    script = Path(__file__).parents[2] / "deploy" / "postgres-init.sh"
    process = await asyncio.create_subprocess_exec(str(script), env=environment)
    assert await process.wait() == 0
    role = await superuser.fetchrow(
        "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = $1", OWNER
    )
    assert role is not None
    assert set(role.values()) == {False}
    await superuser.close()
    owner = await asyncpg.connect(
        host=str(server.paths.socket_dir), user=OWNER, password="it's secret", database="trunkline"
    )
    await owner.execute("CREATE TABLE one (id int)")
    await owner.close()
