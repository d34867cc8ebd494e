"""The suites on which faults are made to happen: of one node, with a NATS cluster of three, and with TLS."""

from __future__ import annotations

import asyncio
import shutil
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from tests.alerts.messages import FLEET
from tests.alerts.monitor import Monitor, monitoring, until
from tests.alerts.stage import FREE, Stage, SuiteKind
from tests.support.certificates import issue
from tests.support.nats import nats_server
from tests.support.postgres import PostgresServer
from tests.support.suite import Suite

_BACKUP_EVERY_H: Final = "0.001"
_SLA_S: Final = ("critical = 2", "high = 2", "normal = 2", "low = 2")


@asynccontextmanager
async def staged(kind: SuiteKind, folder: Path, *, factor: int) -> AsyncIterator[Stage]:
    """Run a suite of a kind with its monitoring; `factor` divides waiting times.

    With divided times no alert is pending at the start, unless the suite has the fault.
    """
    folder.mkdir(parents=True)  # noqa: ASYNC240 - nothing else runs yet
    async with AsyncExitStack() as stack:
        postgres = None
        environment = {"TRUNKLINE_MESSAGES_PER_S": "1000"}
        if factor > 1:
            # The first backup is due after ten minutes, and an alert without one only after half an hour.
            environment["TRUNKLINE_BACKUP_EVERY_H"] = _BACKUP_EVERY_H
        if kind == "single":
            (folder / "postgres").mkdir()
            postgres = PostgresServer(folder / "postgres")
            stack.callback(postgres.remove)
            await postgres.start()
            environment |= _single(folder, postgres)
        if kind == "tls":
            environment |= stack.enter_context(_encrypted(folder))
        suite = await asyncio.to_thread(Suite, folder / "suite", environment, nodes=3 if kind == "cluster" else None)
        stack.push_async_callback(asyncio.to_thread, suite.stop)
        page = urllib.parse.urlsplit(suite.status()["supervisor"]["detail"]["metrics"]).netloc
        monitor = await stack.enter_async_context(monitoring(folder / "monitor", page, factor=factor))
        if kind != "tls" and factor > 1:
            await until(lambda: is_quiet(monitor), "no alert is pending or firing", 120)
        yield Stage(suite, monitor, folder, postgres)


def is_quiet(monitor: Monitor) -> bool:
    """Return whether every rule was evaluated and no alert is pending or firing."""
    return not monitor.alerts("pending") | monitor.alerts("firing")


def _single(folder: Path, postgres: PostgresServer) -> dict[str, str]:
    """Return settings with small bounds, so that a few messages reach them."""
    fleet = Path(shutil.copytree(FLEET, folder / "fleet"))
    text = (fleet / "fleet.toml").read_text(encoding="utf-8")
    start = text.index("[escalation.sla_s]")
    end = text.index("\n\n", start)
    (fleet / "fleet.toml").write_text("\n".join((text[:start] + "[escalation.sla_s]", *_SLA_S)) + text[end:])
    (folder / "models.toml").write_text(FREE)
    return {
        "TRUNKLINE_POSTGRES_DSN": postgres.dsn,
        "TRUNKLINE_FLEET_DIR": str(fleet),
        "TRUNKLINE_LLM_CONFIG": str(folder / "models.toml"),
        "TRUNKLINE_CONCURRENCY": "4",
        "TRUNKLINE_CONVERSATION_PROCESSES_MAX": "1",
    }


@contextmanager
def _encrypted(folder: Path) -> Iterator[dict[str, str]]:
    """Run a NATS server with TLS, whose certificate ends in two days; yield the settings of its suite."""
    files = issue(folder / "certificates", "127.0.0.1", days=2, authority_days=10)
    tls = f'tls {{ cert_file: "{files.certificate}", key_file: "{files.key}" }}\n'
    with nats_server(folder / "nats", lambda config: config + tls) as url:
        yield {"TRUNKLINE_NATS_URL": url.replace("nats://", "tls://"), "TRUNKLINE_NATS_CA": str(files.ca)}
