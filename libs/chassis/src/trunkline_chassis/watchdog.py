"""The watchdog of systemd: a process whose event loop stands still is killed and restarted.

`WatchdogSec=` of a unit gives its process the address of a socket and an interval; without them nothing is sent. A
supervisor of `trunkline up` watches heartbeats instead. The protocol is that of sd_notify(3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Final

from trunkline_chassis.settings import SystemdSettings

_MESSAGE: Final = b"WATCHDOG=1"
_PER_INTERVAL: Final = 4
"""A message may be late, as on a busy machine, without an end of the process."""


class Watchdog:
    """Sends a message several times per interval while the event loop turns."""

    def __init__(self, settings: SystemdSettings) -> None:
        """Without settings of systemd, or with those of another process, nothing is sent."""
        self._every_s = settings.watchdog_usec / 1e6 / _PER_INTERVAL
        self._address = settings.notify_socket
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        is_meant = settings.watchdog_pid in {0, os.getpid()}  # children inherit the variables
        self._is_on = bool(self._address) and self._every_s > 0 and is_meant
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        """Send from now on."""
        if self._is_on:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._send(self._socket)

    def __exit__(self, *_: object) -> None:
        """Send no longer."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.close()

    def _send(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # systemd restarts itself, or its queue is full: the next one arrives
            connection.sendto(_MESSAGE, self._address)
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._send, connection)
