"""Reconciliation of the topology: a process re-creates what it needs if its server has lost it.

It runs at the start, after every reconnection, when a request finds a stream or consumer missing, and periodically.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from trunkline_chassis.backoff import backoff_s
from trunkline_chassis.cancellation import wait_for_event
from trunkline_chassis.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_INTERVAL_S: Final = 30.0
_MIN_INTERVAL_S: Final = 1.0
"""Between two runs, whatever requests them: during an election every request finds its stream missing."""
_SPREAD_S: Final = 0.3
"""Processes that notice a loss together do not create the same stream at the same moment."""
_TIMEOUT_S: Final = 30.0
_MIN_RETRY_DELAY_S: Final = 0.25
_MAX_RETRY_DELAY_S: Final = 5.0


class TopologyReconciler:
    """Calls `repair` whenever a part of the topology may be missing."""

    def __init__(
        self, bus: Bus, repair: Callable[[], Awaitable[Sequence[str]]], *, jitter: Callable[[], float]
    ) -> None:
        """`repair` creates missing parts and returns their names; `jitter` returns random numbers in [0, 1)."""
        self._repair = repair
        self._jitter = jitter
        self._stale = asyncio.Event()
        self.is_complete = False
        """True if the last run found or created everything."""
        bus.on_reconnect.append(self._on_reconnect)
        bus.on_missing.append(self._stale.set)

    def _on_reconnect(self) -> None:
        """Expect the worst: the server may have lost its memory."""
        self.is_complete = False
        self._stale.set()

    async def reconcile(self) -> None:
        """Run once; raises `BusError` if the topology is not complete afterwards."""
        if self._stale.is_set():
            # A periodic run without a sign of a loss leaves the process ready while it looks.
            self.is_complete = False
        self._stale.clear()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                created = await self._repair()
        except TimeoutError as error:
            self.is_complete = False
            raise BusError(f"not complete after {_TIMEOUT_S:g} s") from error
        except BusError:
            self.is_complete = False
            raise
        self.is_complete = True
        if created:
            _log.warning("topology.recreated", names=list(created))

    async def run(self) -> None:
        """Reconcile until cancelled."""
        failures = 0
        while True:
            if not failures:
                await wait_for_event(self._stale, timeout_s=_INTERVAL_S)
            await asyncio.sleep(_SPREAD_S * self._jitter())
            try:
                await self.reconcile()
            except BusError as error:
                failures += 1
                if failures == 1:
                    _log.warning("topology.refresh_failed", error=str(error))
                delay_s = backoff_s(failures, self._jitter(), min_s=_MIN_RETRY_DELAY_S, max_s=_MAX_RETRY_DELAY_S)
                await asyncio.sleep(delay_s)
            else:
                failures = 0
                await asyncio.sleep(_MIN_INTERVAL_S)
