"""The limit of open files: raised at the start, and reported when it is reached.

At the limit the event loop drops new connections without a line in any log.
"""

from __future__ import annotations

import os
import resource
from typing import Final

import structlog
from prometheus_client import Counter

from trunkline_chassis.ticks import next_tick

_log: Final = structlog.get_logger(__name__)
_REACHED: Final = Counter("trunkline_file_limit_reached_total", "Checks that found no free file descriptor")
_INTERVAL_S: Final = 1.0
_CHECKS_PER_LOG: Final = 60


def raise_file_limit() -> None:
    """Raise the open file limit to its hard limit: each customer connection holds a file descriptor."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class FileLimitMonitor:
    """Reports that no file descriptor is free."""

    def __init__(self) -> None:
        """Start without an observation."""
        self._reached = 0

    async def run(self) -> None:
        """Check every second until cancelled."""
        while True:
            self.check()
            await next_tick(_INTERVAL_S)

    def check(self) -> None:
        """Try to get a descriptor; log the limit if that fails, and again once a minute."""
        try:
            os.close(os.dup(2))
        except OSError:
            _REACHED.inc()
            if self._reached % _CHECKS_PER_LOG == 0:
                _log.error("process.file_limit_reached", limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            self._reached += 1
        else:
            self._reached = 0
