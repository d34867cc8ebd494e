"""The audit process of a test: `python -m trunkline_audit` with an archive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from trunkline_supervisor.adapters.tcp import free_port

from tests.audit.harness import ArchiveReader, wait_until


class AuditProcess:
    """One process with an HTTP port of its own."""

    def __init__(
        self, nats_url: str, archive: ArchiveReader, log: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        """Start it with further settings, named without their prefix."""
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        given = {
            "NATS_URL": nats_url,
            "POSTGRES_DSN": archive.dsn,
            "HTTP_PORT": str(port),
            "AUDIT_BATCH_WAIT_S": "0.02",
        } | dict(settings or {})
        environment = os.environ | {f"TRUNKLINE_{name}": value for name, value in given.items()}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trunkline_audit"], env=environment, stdout=output, stderr=output
            )

    async def page(self, path: str) -> tuple[int, str]:
        """Return status and body of one of its pages; status 0 if it does not listen yet."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def wait_for_status(self, path: str, status: int) -> None:
        """Wait until a page has a status."""

        async def has_status() -> bool:
            assert self.process.poll() is None, "the process has ended"
            return (await self.page(path))[0] == status

        await wait_until(has_status)

    async def metric(self, name: str) -> float:
        """Return a metric, summed over its labels; 0 if it has no value yet."""
        lines = [line.rpartition(" ") for line in (await self.page("/metrics"))[1].splitlines()]
        return sum(float(value) for series, _, value in lines if series.partition("{")[0] == name)

    def end(self, number: signal.Signals) -> int:
        """Signal it and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(15)


class AuditProcesses:
    """Starts audit processes on one archive."""

    def __init__(self, nats_url: str, archive: ArchiveReader, log: Path) -> None:
        """Log into one file."""
        self._nats_url = nats_url
        self._archive = archive
        self._log = log
        self.started: list[AuditProcess] = []

    def __call__(self, **settings: str) -> AuditProcess:
        """Start one with further settings, named without their prefix."""
        self.started.append(AuditProcess(self._nats_url, self._archive, self._log, settings))
        return self.started[-1]


@asynccontextmanager
async def audit_processes(nats_url: str, archive: ArchiveReader, log: Path) -> AsyncIterator[AuditProcesses]:
    """Kill all that the block has started, at its end."""
    processes = AuditProcesses(nats_url, archive, log)
    yield processes
    for each in processes.started:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)
