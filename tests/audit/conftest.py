"""Fixtures of the audit tests: a real nats-server and a real PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.audit.harness import ArchiveReader
from tests.support.nats import nats_server
from tests.support.postgres import PostgresServer, postgres, postgres_server

__all__ = ["archive", "nats_url", "postgres", "postgres_server"]


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a nats-server for these tests alone: they leave messages in the streams that no other test can decode."""
    folder = tmp_path_factory.mktemp("nats-audit")
    with nats_server(folder) as url:
        yield url


@pytest.fixture
async def archive(postgres: PostgresServer) -> ArchiveReader:
    """Return an empty archive without schema, for one test."""
    return ArchiveReader(await postgres.create_database(f"audit_{secrets.token_hex(6)}"))
