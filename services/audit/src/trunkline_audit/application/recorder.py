"""Recording: every message of every stream into the archive, exactly once.

A stream's batch and its position are written in one transaction, and only then acknowledged. Whatever breaks (the
archive, the connection to NATS, a message lost on its way) ends the round: the next one opens everything anew, and
the streams deliver again what was not acknowledged. What is in the archive already changes nothing.
While the archive is away nothing is taken: what waits, waits in the streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.errors import BusError
from trunkline_chassis.latency import RecentLatency

from trunkline_audit.core.records import delay_s, row_of
from trunkline_audit.ports import (
    Archive,
    ArchiveTakenError,
    ArchiveUnavailableError,
    Feed,
    FeedBrokenError,
    Feeds,
    Writer,
)

_log: Final = structlog.get_logger(__name__)
_LAG: Final = Gauge("trunkline_audit_lag_seconds", "Age of the oldest message that is not recorded; 0 when all are")
_ROWS: Final = Counter("trunkline_audit_rows_total", "Messages recorded", ["stream"])
_SEEN: Final = Counter("trunkline_audit_seen_total", "Messages that came again and changed nothing", ["stream"])

_WATCH_EVERY_S: Final = 1.0
_STABLE_S: Final = 5.0
"""A round that lived so long was no failed try."""


class Recorder:
    """Writes what the feeds deliver into the archive until cancelled or drained."""

    def __init__(
        self,
        feeds: Feeds,
        archive: Archive,
        *,
        latency: RecentLatency,
        now: Callable[[], datetime],
        chance: Callable[[], float],
    ) -> None:
        """`latency` takes the duration of every write; `chance` draws from [0, 1)."""
        self._feeds = feeds
        self._archive = archive
        self._latency = latency
        self._now = now
        self._chance = chance
        self._open: list[Feed] = []
        self._draining = False
        self._drained = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once the archive was up to date and every feed open, here or in the process that this one stands by."""

    async def run(self) -> None:
        """Record, one round after another."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                await self._record()
            except* ArchiveTakenError:
                self.ready.set()
                _log.info("audit.stands_by")
            except* (ArchiveUnavailableError, FeedBrokenError, BusError) as error:
                _log.warning("audit.interrupted", errors=[str(each) for each in _leaves(error)])
            if self._draining:
                break
            failures = 1 if loop.time() - started > _STABLE_S else failures + 1
            await asyncio.sleep(delay_s(failures, self._chance()))
        self._drained.set()

    async def drain(self, timeout_s: float) -> None:
        """Record what has been delivered already, if the archive is there, and take nothing new."""
        self._draining = True
        if not self._open:
            return
        for feed in self._open:
            feed.drain()
        await wait_for_event(self._drained, timeout_s=timeout_s)

    async def _record(self) -> None:
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(self._archive.open())
            stack.callback(self._open.clear)
            for stream in self._feeds.streams:
                position = await writer.position(stream)
                self._open.append(await stack.enter_async_context(self._feeds.open(stream, position=position)))
            self.ready.set()
            _log.info("audit.recording", streams=list(self._feeds.streams))
            async with asyncio.TaskGroup() as tasks:
                for stream, feed in zip(self._feeds.streams, self._open, strict=True):
                    if self._draining:
                        feed.drain()
                    tasks.create_task(self._copy(stream, feed, writer))

    async def _copy(self, stream: str, feed: Feed, writer: Writer) -> None:
        while arrivals := await feed.take():
            received_at = self._now()
            rows = [row_of(arrival.message, received_at) for arrival in arrivals]
            started = time.perf_counter()
            new = await writer.write(rows)
            self._latency.add((time.perf_counter() - started) * 1000)
            await feed.acknowledge(arrivals)
            _ROWS.labels(stream).inc(new)
            _SEEN.labels(stream).inc(len(rows) - new)


class LagMonitor:
    """Asks the streams, not the recorder, how far recording is behind: true also while nothing is recorded."""

    def __init__(self, feeds: Feeds, *, now: Callable[[], datetime]) -> None:
        """Start with nothing known."""
        self._feeds = feeds
        self._now = now
        self.pending = 0
        """Messages that are not recorded yet."""

    async def run(self) -> None:
        """Look every second until cancelled; what cannot be asked stays as it was."""
        while True:
            with contextlib.suppress(BusError):
                await self._look()
            await asyncio.sleep(_WATCH_EVERY_S)

    async def _look(self) -> None:
        backlogs = [await self._feeds.backlog(stream) for stream in self._feeds.streams]
        self.pending = sum(backlog.messages for backlog in backlogs)
        oldest = min((backlog.oldest for backlog in backlogs if backlog.oldest is not None), default=None)
        _LAG.set(0.0 if oldest is None else max(0.0, (self._now() - oldest).total_seconds()))


def _leaves(error: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for each in error.exceptions:
        found.extend(_leaves(each) if isinstance(each, BaseExceptionGroup) else [each])
    return found
