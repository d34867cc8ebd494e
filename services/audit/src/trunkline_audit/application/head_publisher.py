"""Publication of signed heads to a stream, so that the owner of the database cannot remove them with its records.

Recording never waits for it: a new head replaces the one that waits. After a failure, and at the start, the heads that
the stream lacks are read from the archive. At most one a second is published; without new records, none.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_chassis.errors import BusError
from trunkline_chassis.logs import reason_of

from trunkline_audit.core.heads import TreeHead, last_of_each_second
from trunkline_audit.core.records import retry_delay_s
from trunkline_audit.ports import ArchiveUnavailableError, HeadSource, HeadStream

_log: Final = structlog.get_logger(__name__)
_HEADS: Final = Counter(
    "trunkline_audit_heads_total",
    "Signed heads by outcome: published; failed, to be repeated; diverged, if the archive lacks the stream's last head",
    ["outcome"],
)
_INTERVAL_S: Final = 1.0
_PAGE: Final = 1_000
"""Heads per read of the archive."""
_LOG_INTERVAL_S: Final = 60.0


class HeadPublisher:
    """Publishes the heads that the writer of the archive signs."""

    def __init__(
        self, stream: HeadStream, source: HeadSource, *, jitter: Callable[[], float], every_s: float = _INTERVAL_S
    ) -> None:
        """`jitter` returns random numbers in [0, 1)."""
        self._stream = stream
        self._source = source
        self._jitter = jitter
        self._every_s = every_s
        self._newest: TreeHead | None = None
        self._last: TreeHead | None = None
        """The last head of the stream; None until it is read, and after a failure."""
        self._offered = asyncio.Event()
        self._published = asyncio.Event()
        self._logged_at = float("-inf")

    def offer(self, head: TreeHead) -> None:
        """Take the newest head, which is in the archive, to publish it later."""
        self._newest = head
        self._published.clear()
        self._offered.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        failures = 0
        while True:
            await self._offered.wait()
            self._offered.clear()
            try:
                await self._publish_newest()
            except (BusError, ArchiveUnavailableError) as error:
                failures += 1
                self._on_failure(error)
                await asyncio.sleep(retry_delay_s(failures, self._jitter()))
            else:
                failures = 0
                await asyncio.sleep(self._every_s)

    async def flush(self, timeout_s: float) -> None:
        """Wait until the newest head is published, at most for a while: the next start publishes it otherwise."""
        if self._newest is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._published.wait()

    async def _publish_newest(self) -> None:
        head = self._newest
        if head is None:
            return
        if self._last is None:
            await self._catch_up(head)
        elif self._last != head:
            await self._publish([head])
        if self._newest is head:
            self._published.set()

    async def _catch_up(self, newest: TreeHead) -> None:
        """Publish the heads of the archive that are later than the last one of the stream."""
        last = await self._stream.last()
        if last is None:
            await self._publish([newest])  # which vouches for all records before it
            return
        if not await self._source.has(last):
            _HEADS.labels("diverged").inc()
            _log.error("heads.diverged", size=last.size)
        late = 0
        while found := await self._source.since(last, _PAGE):
            heads = last_of_each_second(found)
            await self._publish(heads)
            late += len(heads)
            last = found[-1]
        self._last = last
        if late:
            _log.info("heads.caught_up", heads=late, size=last.size)

    async def _publish(self, heads: Sequence[TreeHead]) -> None:
        for head in heads:
            await self._stream.publish(head)
            _HEADS.labels("published").inc()
            self._last = head

    def _on_failure(self, error: Exception) -> None:
        """Repeat from the archive; log the reason once a minute."""
        self._last = None
        self._offered.set()
        _HEADS.labels("failed").inc()
        now = time.monotonic()
        if now - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = now
            _log.warning("heads.publish_failed", error=reason_of(error))
