"""Dump and restore of the archive by the client programs of PostgreSQL, in one snapshot with the count of its rows."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg
from trunkline_supervisor.adapters.postgres import program_path
from trunkline_supervisor.settings import inherited_environment

from trunkline_cli.errors import CommandError

_CONNECT_TIMEOUT_S: Final = 10.0
_COUNT_TIMEOUT_S: Final = 600.0
_PROGRAM_TIMEOUT_S: Final = 6 * 3_600.0
_TABLES: Final = (
    "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
)


async def dump_archive(dsn: str, file: Path, *, is_embedded: bool) -> dict[str, int]:
    """Write all tables to a file; return the number of rows per table in the same snapshot."""
    with _map_errors():
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S, command_timeout=_COUNT_TIMEOUT_S)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                rows = await _count_rows(connection)
                snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
                program = _program("pg_dump", is_embedded=is_embedded)
                await _run(dsn, program, "--format=custom", f"--snapshot={snapshot}", f"--file={file}")
        finally:
            await connection.close(timeout=_CONNECT_TIMEOUT_S)
    return rows


async def restore_archive(dsn: str, file: Path, *, is_embedded: bool, replace: bool) -> dict[str, int]:
    """Create the tables of a dump, all or none of them; return the rows per table.

    The database must have no tables, unless they may be replaced.
    """
    options = ("--clean", "--if-exists") if replace else ()
    with _map_errors():
        if not replace and await read_row_counts(dsn):
            raise CommandError("the database has tables already: restore into an empty one, or with --replace")
        program = _program("pg_restore", is_embedded=is_embedded)
        await _run(dsn, program, "--single-transaction", "--exit-on-error", *options, str(file))
        return await read_row_counts(dsn)


async def read_row_counts(dsn: str) -> dict[str, int]:
    """Return the number of rows per table."""
    connection = await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S, command_timeout=_COUNT_TIMEOUT_S)
    try:
        return await _count_rows(connection)
    finally:
        await connection.close(timeout=_CONNECT_TIMEOUT_S)


async def _count_rows(connection: asyncpg.Connection) -> dict[str, int]:
    tables = [row[0] for row in await connection.fetch(_TABLES)]
    return {table: await connection.fetchval(f"SELECT count(*) FROM public.{table}") for table in sorted(tables)}  # noqa: S608 - quoted


async def _run(dsn: str, program: str, *arguments: str) -> None:
    """Run a client program; its password is in its environment, which other accounts cannot read."""
    address, environment = _without_password(dsn)
    process = await asyncio.create_subprocess_exec(
        program,
        *("--no-owner", "--no-privileges", f"--dbname={address}"),
        *arguments,
        env=inherited_environment() | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PROGRAM_TIMEOUT_S):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        reason = errors.decode(errors="replace").strip().partition("\n")[0]
        raise CommandError(f"{Path(program).name} failed: {reason}")


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(dsn)
    if not parts.password:
        return dsn, {}
    login, _, host = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}")), {"PGPASSWORD": unquote(parts.password)}


def _program(name: str, *, is_embedded: bool) -> str:
    """Return a client program: one that is older than its server refuses to dump it."""
    if is_embedded:
        return program_path(name)
    found = shutil.which(name)
    if found is None:
        raise CommandError(f"{name} is not installed: it belongs to the client programs of PostgreSQL")
    return found


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise CommandError(f"PostgreSQL: {type(error).__name__}: {error}") from error
