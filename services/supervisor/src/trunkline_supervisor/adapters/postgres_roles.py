"""Roles and database of the embedded PostgreSQL, and its health probe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from trunkline_supervisor.adapters.postgres import DATABASE, OWNER, SUPERUSER, PostgresPaths, accepts_connections
from trunkline_supervisor.adapters.secret_file import load_or_create_secret
from trunkline_supervisor.core.errors import PostgresStartError

_CONNECT_TIMEOUT_S: Final = 2.0
_COMMAND_TIMEOUT_S: Final = 10.0
_PROBE_TIMEOUT_S: Final = 2.0
_RETRY_INTERVAL_S: Final = 0.1

_ROLE: Final = f"{OWNER} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
_FOREIGN_OBJECTS: Final = """
SELECT format(
    'ALTER %s %s OWNER TO %I',
    CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
    c.oid::regclass,
    $1::text
)
FROM pg_class c
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S') AND relowner <> $1::regrole
    -- A sequence of a column follows its table.
    AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('a', 'i')
    )
UNION ALL
SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, $1::text)
FROM pg_proc p
WHERE pronamespace = 'public'::regnamespace AND proowner <> $1::regrole
"""
"""Statements for the objects that an earlier version created as superuser."""


async def wait_until_ready(paths: PostgresPaths, *, timeout_s: float = 30.0) -> None:
    """Wait until the server accepts commands, and create or correct the role and the database of the services."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        try:
            if not accepts_connections(paths):
                raise TimeoutError("the server is starting")  # noqa: TRY301 - handled like a server without an answer
            await _ensure_owner(paths)
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            OSError,
            TimeoutError,
        ) as error:
            if loop.time() > deadline:
                raise PostgresStartError(f"PostgreSQL in {paths.data} is not ready: {error!r}") from error
            await asyncio.sleep(_RETRY_INTERVAL_S)
        else:
            return


async def answers(paths: PostgresPaths) -> bool:
    """Probe the embedded server; an error such as "too many connections", or a start, is an answer as well."""
    if not accepts_connections(paths):
        return True
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            # The role of the services is created after the first start: until then the server would log a refusal.
            connection = await asyncpg.connect(paths.dsn(SUPERUSER, "postgres"), timeout=_PROBE_TIMEOUT_S)
            try:
                await connection.fetchval("SELECT 1")
            finally:
                connection.terminate()
    except asyncpg.PostgresError:
        return True
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError):
        # The driver is confused if the server dies while it prepares a statement (InternalClientError).
        return False
    return True


async def _ensure_owner(paths: PostgresPaths) -> None:
    async with _superuser(paths, "postgres") as connection:
        known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", OWNER)
        password = load_or_create_secret(paths.password_file(OWNER))
        await connection.execute(f"{'ALTER' if known else 'CREATE'} ROLE {_ROLE} PASSWORD '{password}'")
        if await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE) is None:
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        await connection.execute(f"ALTER DATABASE {DATABASE} OWNER TO {OWNER}")
        await connection.execute(f"REVOKE ALL ON DATABASE {DATABASE}, postgres, template1 FROM PUBLIC")
    async with _superuser(paths, DATABASE) as connection:
        for (statement,) in await connection.fetch(_FOREIGN_OBJECTS, OWNER):
            await connection.execute(statement)


@asynccontextmanager
async def _superuser(paths: PostgresPaths, database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        paths.dsn(SUPERUSER, database), timeout=_CONNECT_TIMEOUT_S, command_timeout=_COMMAND_TIMEOUT_S
    )
    try:
        yield connection
    finally:
        await connection.close(timeout=_CONNECT_TIMEOUT_S)
