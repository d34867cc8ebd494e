"""The archive on an external PostgreSQL: `sslmode=verify-full` holds for the writer and for the migrations."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from trunkline_audit.adapters.migrations import migrate
from trunkline_audit.adapters.postgres import PostgresArchive
from trunkline_audit.ports import ArchiveUnavailableError

from tests.audit.harness import UNSIGNED, ArchiveReader
from tests.faults.tcp_proxy import TcpProxy
from tests.support.certificates import issue
from tests.support.postgres import PostgresServer
from tests.support.tls_proxy import tls_proxy

pytestmark = pytest.mark.processes
HOST, OTHER_NAME = "localhost", "127.0.0.1"


def address(archive: ArchiveReader, port: int, ca: Path, *, host: str = HOST) -> str:
    """Return the address of an archive that requires a certificate of the authority for the host."""
    login, _, rest = archive.dsn.partition("@")
    database = rest.lstrip("/").partition("?")[0]
    return f"{login}@{host}:{port}/{database}?sslmode=verify-full&sslrootcert={quote(str(ca), safe='')}"


async def test_right_certificate_is_accepted_by_writer_and_migrations(
    postgres: PostgresServer, archive: ArchiveReader, tmp_path: Path
) -> None:
    """Two libraries read the same address."""
    certificates = issue(tmp_path, HOST)
    async with tls_proxy(postgres.socket, certificates) as port:
        archived = PostgresArchive(address(archive, port, certificates.ca), name="test", heads=UNSIGNED)
        async with archived.open() as writer:
            assert await writer.position("INBOX") == 0


async def test_wrong_authority_or_host_name_is_refused(
    postgres: PostgresServer, archive: ArchiveReader, tmp_path: Path
) -> None:
    """A server in the middle has a certificate too, from another authority or for another name."""
    certificates, other = issue(tmp_path / "right", HOST), issue(tmp_path / "other", HOST)
    async with tls_proxy(postgres.socket, certificates) as port:
        for dsn in (
            address(archive, port, other.ca),
            address(archive, port, certificates.ca, host=OTHER_NAME),
        ):
            with pytest.raises(ArchiveUnavailableError, match=r"(?i)certificate"):
                async with PostgresArchive(dsn, name="test", heads=UNSIGNED).open():
                    pass
    assert await archive.messages() == []


async def test_server_without_encryption_is_refused(
    postgres: PostgresServer, archive: ArchiveReader, tmp_path: Path
) -> None:
    """The address forbids to fall back to plain text, for both libraries."""
    proxy = TcpProxy(postgres.socket)
    dsn = address(archive, proxy.port, issue(tmp_path, HOST).ca)
    try:
        with pytest.raises(ArchiveUnavailableError, match="SSL"):
            async with PostgresArchive(dsn, name="test", heads=UNSIGNED).open():
                pass
        with pytest.raises(psycopg.OperationalError, match="SSL"):
            migrate(dsn)
    finally:
        proxy.close()
