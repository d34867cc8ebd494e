"""The signals that stop the suite, SIGTERM and SIGINT, and the one that opens its logs again, SIGHUP."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from trunkline_chassis.log_files import has_terminal


def stop_event() -> asyncio.Event:
    """Return an event that is set by the first signal. Requires a running event loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def on_hangup(stop: asyncio.Event, *reopen_logs: Callable[[], None]) -> None:
    """Open the logs again on SIGHUP; if it comes from the end of the suite's terminal, stop instead."""
    started_in_terminal = has_terminal()

    def handle() -> None:
        if started_in_terminal and not has_terminal():
            stop.set()
        else:
            for reopen in reopen_logs:
                reopen()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, handle)
