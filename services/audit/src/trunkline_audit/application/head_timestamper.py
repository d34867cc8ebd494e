"""Timestamps of heads by an authority (RFC 3161), now and then: a head existed at the time of its token.

Recording never waits for it. Only the writer of the archive has heads timestamped, and none without new records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_chassis.logs import reason_of

from trunkline_audit.core.heads import TreeHead, signed_text
from trunkline_audit.ports import ArchiveUnavailableError, AuthorityUnavailableError, TimestampAuthority, TimestampStore

_log: Final = structlog.get_logger(__name__)
_TIMESTAMPS: Final = Counter("trunkline_audit_timestamps_total", "Timestamps of heads by outcome", ["outcome"])
_MIN_RETRY_S: Final = 30.0
_MAX_RETRY_S: Final = 3_600.0


class HeadTimestamper:
    """Has a head timestamped at an interval."""

    def __init__(
        self,
        authority: TimestampAuthority,
        store: TimestampStore,
        *,
        every_s: float,
        now: Callable[[], datetime],
        min_retry_s: float = _MIN_RETRY_S,
    ) -> None:
        """Retries begin with `min_retry_s` and grow, up to an hour."""
        self._authority = authority
        self._store = store
        self._every_s = every_s
        self._now = now
        self._min_retry_s = min_retry_s
        self._newest: TreeHead | None = None
        self._offered = asyncio.Event()

    def offer(self, head: TreeHead) -> None:
        """Take the newest head, which is in the archive."""
        self._newest = head
        self._offered.set()

    async def run(self) -> None:
        """Have heads timestamped until cancelled."""
        failures = 0
        while True:
            await self._offered.wait()
            try:
                delay_s = await self._stamp_if_due()
            except (ArchiveUnavailableError, AuthorityUnavailableError) as error:
                delay_s = min(self._min_retry_s * 2.0 ** min(failures, 16), _MAX_RETRY_S)
                failures += 1
                _TIMESTAMPS.labels("failed").inc()
                _log.warning("timestamp.failed", error=reason_of(error), retry_in_s=round(delay_s, 1))
            else:
                failures = 0
            await asyncio.sleep(delay_s)

    async def _stamp_if_due(self) -> float:
        """Return the seconds until a head may be due again."""
        last = await self._store.last()
        head = self._newest
        if head is None or (last is not None and last.size == head.size):
            self._offered.clear()
            return 0.0
        if last is not None:
            # The time is the authority's: its clock may be ahead of this one.
            remaining_s = min(self._every_s, self._every_s - (self._now() - last.at).total_seconds())
            if remaining_s > 0:
                return remaining_s
        await self._store.add(head, await self._authority.stamp(signed_text(head)))
        _TIMESTAMPS.labels("stored").inc()
        _log.info("timestamp.stored", size=head.size)
        return self._every_s
