"""A PostgreSQL server for tests, which may stop, kill and restart it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from trunkline_chassis.socket_folder import remove_socket_folder, socket_folder
from trunkline_supervisor.adapters.postgres import (
    OWNER,
    PORT,
    SOCKET_NAME,
    SUPERUSER,
    PostgresPaths,
    initialise,
    postgres_command,
)
from trunkline_supervisor.adapters.postgres_roles import wait_until_ready


class PostgresServer:
    """An embedded server with a private socket; its data survives restarts."""

    def __init__(self, folder: Path) -> None:
        """Prepare the data directory below `folder`."""
        self._log = folder / "log"
        self._preferred = folder / "run"
        sockets = socket_folder(self._preferred, longest_name=SOCKET_NAME)
        self.paths = PostgresPaths(folder / "data", sockets, folder / "secrets")
        self.socket = self.paths.socket_dir / f".s.PGSQL.{PORT}"
        self._process: subprocess.Popen[bytes] | None = None
        self.command: list[str] = []
        initialise(self.paths)

    @property
    def dsn(self) -> str:
        """The address for the role that owns the database."""
        return self.paths.dsn()

    @property
    def superuser_dsn(self) -> str:
        """The address for the superuser."""
        return self.paths.dsn(SUPERUSER)

    @property
    def running(self) -> bool:
        """Return whether the server process is running."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the server unless it is running, and wait until it accepts connections."""
        if not self.running:
            self.launch()
        await wait_until_ready(self.paths)

    async def create_database(self, name: str) -> str:
        """Create another database for the same role, and return its address."""
        rules = self.paths.data / "pg_hba.conf"
        line = f"local /^{name.partition('_')[0]}_ {OWNER} scram-sha-256\n"
        if line not in rules.read_text():
            rules.write_text(rules.read_text() + line)
        connection = await asyncpg.connect(self.superuser_dsn)
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute(f'CREATE DATABASE "{name}" OWNER {OWNER}')
        await connection.close()
        return self.paths.dsn(database=name)

    def launch(self) -> None:
        """Start the server without waiting."""
        self.command = postgres_command(self.paths)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def stop(self) -> None:
        """Shut down in an orderly way: sessions are closed, data is flushed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server process."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """Stop the server for good."""
        self.stop()
        remove_socket_folder(self.paths.sockets, self._preferred)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The server of the session; tests use `postgres`, which is certain to run."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    asyncio.run(server.start())
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
async def postgres(postgres_server: PostgresServer) -> PostgresServer:
    """A running PostgreSQL with the database `trunkline`, restarted if the previous test stopped it."""
    await postgres_server.start()
    return postgres_server
