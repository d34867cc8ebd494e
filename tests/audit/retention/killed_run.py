"""Runs of retention in processes of their own, each of which kills itself at a stage.

python -m tests.audit.retention.killed_run NATS_URL DSN LOCATION DAYS

Stages are read line by line; the exit code of each run is written. Processes are forked, since an import takes longer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from trunkline_audit.adapters.retention_store import PostgresRetention, PostgresRetentionSession
from trunkline_audit.adapters.stream_trimmer import JetStreamTrimmer
from trunkline_audit.application.retention_run import RetentionRun
from trunkline_chassis.bus import connect
from trunkline_chassis.object_store import ObstoreObjectStore

from tests.audit.retention.harness import POLICY, REGION, FastClock

STAGES: Final = (
    "before put .zst",
    "after put .zst",
    "after add_object",
    "before put manifest.json",
    "after put manifest.json",
    "before set_verified",
    "after set_verified",
    "after purge",
    "before trim",
    "after trim",
)
LEASE_S: Final = 0.3


def killing(stage: str, name: str, call: Callable[..., Awaitable[Any]], suffix: str = "") -> Callable[..., Any]:
    """Return a call that kills the process before or after it, if the stage says so."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        is_meant = not suffix or str(args[0]).endswith(suffix)
        label = f"{name} {suffix}".strip()
        if is_meant and stage == f"before {label}":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await call(*args, **kwargs)
        if is_meant and stage == f"after {label}":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return run


class KillingArchive(PostgresRetention):
    """The records, whose changes kill the process."""

    stage = ""

    @asynccontextmanager
    async def open(self, *, locked: bool) -> AsyncIterator[PostgresRetentionSession]:
        async with super().open(locked=locked) as session:
            for name in ("add_object", "set_verified", "trim"):
                setattr(session, name, killing(self.stage, name, getattr(session, name)))
            yield session


async def main(nats_url: str, dsn: str, location: str, days: str, stage: str) -> None:
    """Run until the stage."""
    clock = FastClock(float(days))
    bus = await connect(nats_url, "audit-test")
    archive = KillingArchive(dsn, holder=f"killed-{os.getpid()}", region=REGION, lease_s=LEASE_S)
    archive.stage = stage
    trimmer = JetStreamTrimmer(bus, REGION)
    trimmer.trim = killing(stage, "purge", trimmer.trim)  # type: ignore[method-assign]

    def open_objects(at: str) -> ObstoreObjectStore:
        store = ObstoreObjectStore(at)
        for suffix in (".zst", "manifest.json"):
            store.put_once = killing(stage, "put", store.put_once, suffix)  # type: ignore[method-assign]
        return store

    await RetentionRun(archive, trimmer, open_objects, POLICY, location=location, now=clock).run()


def serve(nats_url: str, dsn: str, location: str, days: str) -> None:
    """Run once per line."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # its log
            asyncio.run(main(nats_url, dsn, location, days, line.strip()))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
