"""Schema migrations of the archive: plain SQL files, applied in order, each once.

yoyo keeps the order and the record of applied migrations. Its own lock is a row that outlives a killed process, so
its row is deleted first, in a transaction that holds an advisory lock: like everything here, it needs no session, so
that a connection pool may give each transaction another connection.
"""

from __future__ import annotations

import os
import socket
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import default_migration_table

_SOURCE: Final = "package:trunkline_audit:migrations"
_CONNECT_TIMEOUT_S: Final = 5


_CREATE_LOCK_TABLE: Final = """
CREATE TABLE IF NOT EXISTS yoyo_lock (
    locked integer DEFAULT 1, ctime timestamp, pid integer NOT NULL, PRIMARY KEY (locked)
)
"""


class MigrationError(Exception):
    """The schema cannot be migrated to this version."""


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc] # yoyo has no types
    """yoyo's psycopg backend with libpq connection strings, which allow several hosts and every option."""

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection[Any]:
        return psycopg.connect(
            dburi.args["conninfo"],
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
            client_encoding="utf8",  # else a database in SQL_ASCII returns bytes
            prepare_threshold=None,  # a prepared statement belongs to a session
        )

    def create_lock_table(self) -> None:
        """Create the lock table; the original logs an error on the server if it exists."""
        self.execute(_CREATE_LOCK_TABLE)

    def _check_transactional_ddl(self) -> bool:
        """Return True, as for every PostgreSQL; the original logs an error on the server to find out."""
        return True

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:  # noqa: ANN401, FBT001, FBT002
        """Apply a migration and record it in one transaction.

        The original records it in a later one: a process that is killed in between would repeat the migration.
        """
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "apply", force=force)
            self.log_migration(migration, "apply")
            if mark:
                self.mark_one(migration, log=False)

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:  # noqa: ANN401
        """Return the log entry with uid and host name.

        The original requires a user name and a domain name: an account without an entry, as in a container, has none.
        """
        return {
            "id": str(uuid.uuid1()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": str(os.getuid()),
            "hostname": socket.gethostname(),
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),  # noqa: TID251 - yoyo's own record
            "operation": operation,
        }


def known_migrations() -> frozenset[str]:
    """Return the names of all migrations of this version."""
    return frozenset(migration.id for migration in read_migrations(_SOURCE))


def migrate(dsn: str) -> list[str]:
    """Migrate the schema and return the names of the migrations that were applied. Blocks.

    Raises `MigrationError` if the role may not create tables.
    """
    try:
        return _migrate(dsn)
    except psycopg.errors.InsufficientPrivilege as error:
        raise MigrationError(
            "the role may not change the schema: let it own the database, or grant it CREATE on schema public"
        ) from error


def _migrate(dsn: str) -> list[str]:
    address = DatabaseURI("postgresql+psycopg", None, None, None, None, None, {"conninfo": dsn})
    known = read_migrations(_SOURCE)
    if not known:
        raise MigrationError(f"no migrations in {_SOURCE}: the package is incomplete")
    with _Backend(address, default_migration_table) as backend:
        backend.init_database()
        backend.break_lock()
        with backend.lock():
            pending = backend.to_apply(known)
            backend.apply_migrations(pending)
            remaining = [migration.id for migration in backend.to_apply(known)]
    if remaining:
        raise MigrationError(f"not applied: {', '.join(remaining)}")
    return [migration.id for migration in pending]
