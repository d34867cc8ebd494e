"""A PostgreSQL server for tests, which may stop, kill and restart it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_supervisor.adapters.postgres import dsn, initialise, postgres_command, wait_until_ready
from trunkline_supervisor.adapters.tcp import free_port


class PostgresServer:
    """An embedded server on a private port; its data survives restarts."""

    def __init__(self, folder: Path) -> None:
        """Prepare the data directory below `folder`."""
        self._data = folder / "data"
        self._log = folder / "log"
        self.port = free_port()
        self.dsn = dsn(self.port)
        self._process: subprocess.Popen[bytes] | None = None
        initialise(self._data)

    @property
    def running(self) -> bool:
        """Return whether the server process is running."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the server unless it is running, and wait until it accepts connections."""
        if not self.running:
            self._process = self._launch()
        await wait_until_ready(self.port)

    def stop(self) -> None:
        """Shut down in an orderly way: sessions are closed, data is flushed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server process."""
        self._end(signal.SIGKILL)

    def _launch(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(postgres_command(self._data, port=self.port), stdout=log, stderr=log)

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
        server.stop()


@pytest.fixture
async def postgres(postgres_server: PostgresServer) -> PostgresServer:
    """A running PostgreSQL with the database `trunkline`, restarted if the previous test stopped it."""
    await postgres_server.start()
    return postgres_server
