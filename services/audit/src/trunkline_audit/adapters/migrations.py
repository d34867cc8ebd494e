"""Schema migrations of the archive: plain SQL files, applied in order, each once.

yoyo keeps the order and the record of applied migrations. Its own lock is a row that outlives a killed process, so
the caller holds a PostgreSQL advisory lock, which ends with its session, and yoyo's row is deleted first.
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


class MigrationError(Exception):
    """The schema cannot be migrated to this version."""


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc] # yoyo has no types
    """yoyo's psycopg backend with libpq connection strings, which allow several hosts and every option."""

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection[Any]:
        return psycopg.connect(dburi.args["conninfo"], autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S)

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


def migrate(dsn: str) -> list[str]:
    """Migrate the schema and return the names of the migrations that were applied. Blocks."""
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
