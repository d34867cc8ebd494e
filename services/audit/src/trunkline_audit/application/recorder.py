"""Recording: every message of every stream goes into the archive exactly once.

A batch and the new position of its stream are written in one transaction, and acknowledged afterwards. A failure of
the archive, of the connection to NATS or of a delivery ends the session; the next one reopens everything, and the
streams redeliver the messages that were not acknowledged. A message that is already archived changes nothing.
While the archive is unavailable, no message is requested: the streams hold the backlog.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final, Literal, TypeAlias

import structlog
from prometheus_client import Counter
from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.errors import BusError
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.residency import BorderGuard

from trunkline_audit.core.records import AuditedMessage, foreign_region, retry_delay_s, row_of
from trunkline_audit.ports import (
    Archive,
    ArchiveElsewhereError,
    ArchiveLockedError,
    ArchiveUnavailableError,
    ArchiveWriter,
    Feed,
    FeedBrokenError,
    Feeds,
)

_log: Final = structlog.get_logger(__name__)
_ROWS: Final = Counter("trunkline_audit_rows_total", "Recorded messages", ["stream"])
_DUPLICATES: Final = Counter(
    "trunkline_audit_seen_total", "Redelivered messages that were already in the archive", ["stream"]
)

RecorderState: TypeAlias = Literal["unavailable", "standby", "recording"]

_LOG_INTERVAL_S: Final = 60.0
_STABLE_AFTER_S: Final = 5.0
"""A session that lasted longer resets the backoff."""


class Recorder:
    """Writes the messages of the feeds into the archive until cancelled or drained."""

    def __init__(
        self,
        feeds: Feeds,
        archive: Archive,
        *,
        latency: RecentLatency,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        borders: BorderGuard,
    ) -> None:
        """`latency` receives the duration of every write; `jitter` returns random numbers in [0, 1)."""
        self._feeds = feeds
        self._archive = archive
        self._latency = latency
        self._now = now
        self._jitter = jitter
        self._borders = borders
        self._open: list[Feed] = []
        self._reasons: list[str] = []
        self._logged_at = float("-inf")
        self._draining = False
        self._drained = asyncio.Event()
        self.state: RecorderState = "unavailable"
        """Recording, on standby because another process is the writer, or without an archive."""

    async def run(self) -> None:
        """Record, one session after another."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                await self._run_session()
            except* ArchiveLockedError:
                self._stand_by()
            except* ArchiveElsewhereError as error:
                self._refuse([each for each in _leaves(error) if isinstance(each, ArchiveElsewhereError)])
            except* (ArchiveUnavailableError, FeedBrokenError, BusError) as error:
                self._interrupt([str(each) for each in _leaves(error)])
            if self._draining:
                break
            failures = 1 if loop.time() - started > _STABLE_AFTER_S else failures + 1
            await asyncio.sleep(retry_delay_s(failures, self._jitter()))
        self._drained.set()

    def _stand_by(self) -> None:
        """Log that another process records, once: the next attempts follow within seconds."""
        if self.state != "standby":
            self.state = "standby"
            _log.info("recording.standby")

    def _refuse(self, errors: list[ArchiveElsewhereError]) -> None:
        """Record that the database belongs to another region, which ends no attempt: an operator may correct it."""
        region = self._borders.region
        for error in errors:
            self._borders.admits("database", data=region, place=error.home, record_id=f"database-{region}-{error.home}")
        self._interrupt([str(error) for error in errors])

    def _interrupt(self, reasons: list[str]) -> None:
        """Log a failed session, and the same reason again once a minute."""
        self.state = "unavailable"
        now = time.monotonic()
        if reasons != self._reasons or now - self._logged_at >= _LOG_INTERVAL_S:
            self._reasons, self._logged_at = reasons, now
            _log.warning("recording.interrupted", errors=reasons)

    async def drain(self, timeout_s: float) -> None:
        """Record the messages that were delivered, if the archive is available, and request no more."""
        self._draining = True
        if not self._open:
            return
        for feed in self._open:
            feed.drain()
        await wait_for_event(self._drained, timeout_s=timeout_s)

    async def _run_session(self) -> None:
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(self._archive.open())
            stack.callback(self._open.clear)
            for stream in self._feeds.streams:
                position = await writer.position(stream)
                self._open.append(await stack.enter_async_context(self._feeds.open(stream, position=position)))
            self.state = "recording"
            self._reasons = []
            _log.info("recording.started", streams=list(self._feeds.streams))
            async with asyncio.TaskGroup() as tasks:
                keeping = [tasks.create_task(writer.hold()), tasks.create_task(writer.sign_heads())]
                async with asyncio.TaskGroup() as copies:
                    for stream, feed in zip(self._feeds.streams, self._open, strict=True):
                        if self._draining:
                            feed.drain()
                        copies.create_task(self._copy(stream, feed, writer))
                for task in keeping:
                    task.cancel()

    async def _copy(self, stream: str, feed: Feed, writer: ArchiveWriter) -> None:
        while items := await feed.receive():
            received_at = self._now()
            rows = [row_of(item.message, received_at) for item in items if self._admits(item.message)]
            started = time.perf_counter()
            new = await writer.write(rows) if rows else 0
            self._latency.add((time.perf_counter() - started) * 1000)
            await feed.acknowledge(items)
            _ROWS.labels(stream).inc(new)
            _DUPLICATES.labels(stream).inc(len(rows) - new)

    def _admits(self, message: AuditedMessage) -> bool:
        """Return whether a message is of this region; another one's is acknowledged, and does not reach PostgreSQL."""
        region = self._borders.region
        return self._borders.admits(
            "record",
            data=foreign_region(message, region) or region,
            asset=message.stream,
            record_id=f"record-{message.stream}-{message.sequence}-{message.at.timestamp()}",
        )


def _leaves(error: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for each in error.exceptions:
        found.extend(_leaves(each) if isinstance(each, BaseExceptionGroup) else [each])
    return found
