"""Runs of retention in processes of their own, each of which kills itself at a stage.

python -m tests.audit.retention.killed_run NATS_URL DSN LOCATION KEEP_DAYS

A day and a stage are read from each line; the exit code of each run is written. Processes are forked, since an import
takes longer.
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
from trunkline_audit.core.retention.policy import RetentionPolicy
from trunkline_audit.ports import ArchiveLockedError
from trunkline_chassis.bus import connect
from trunkline_chassis.object_store import ObstoreObjectStore

from tests.audit.harness import wait_until
from tests.audit.retention.harness import KEEP_DAYS, POLICY, REGION, FastClock, SmallSuite, keep_for

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


async def main(nats_url: str, dsn: str, location: str, policy: RetentionPolicy, line: str) -> None:
    """Run on a day until a stage."""
    days, stage = line.split(maxsplit=1)
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

    await RetentionRun(archive, trimmer, open_objects, policy, location=location, now=clock).run()


def serve(nats_url: str, dsn: str, location: str, keep_days: str) -> None:
    """Run once per line."""
    policy = keep_for(float(keep_days))
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # its log
            asyncio.run(main(nats_url, dsn, location, policy, line.strip()))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


class KilledRuns:
    """Runs in other processes, which kill themselves."""

    def __init__(self, suite: SmallSuite, process: asyncio.subprocess.Process) -> None:
        """Take the process that forks them."""
        self._suite = suite
        self._process = process

    async def kill_at(self, stage: str) -> None:
        """Run on the day of the suite until the run has killed itself at a stage."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{self._suite.clock.days} {stage}\n".encode())
        async with asyncio.timeout(60):
            assert int(await self._process.stdout.readline()) == -signal.SIGKILL


@asynccontextmanager
async def killed_runs(suite: SmallSuite, keep_days: float = KEEP_DAYS) -> AsyncIterator[KilledRuns]:
    """Start the process that forks them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__),
        *(suite.nats_url, suite.archive.dsn, suite.location, str(keep_days)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    yield KilledRuns(suite, process)
    process.kill()
    await process.wait()


async def run_when_free(suite: SmallSuite, policy: RetentionPolicy = POLICY) -> None:
    """Run as soon as the lease of the killed process has expired."""

    async def completes() -> bool:
        try:
            await suite.retention(policy).run()
        except ArchiveLockedError:
            return False
        return True

    await wait_until(completes)


if __name__ == "__main__":
    serve(*sys.argv[1:])
