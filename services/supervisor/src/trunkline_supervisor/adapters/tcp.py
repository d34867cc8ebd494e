"""TCP ports of servers that the suite starts. No port is assumed to be free."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path
from typing import Final

from trunkline_supervisor.core.errors import SuiteError

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_MIN_PORT: Final = 20_000
_MAX_ATTEMPTS: Final = 64
_reserved: Final[set[int]] = set()
"""Ports that this process has returned and that may not be in use yet."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now; every call of a process returns another one.

    The port lies below the kernel's ephemeral range: within it, a client that keeps connecting to a server that is
    down can be assigned the server's own port, and connects to itself.
    """
    for _ in range(_MAX_ATTEMPTS):
        with socket.socket(_family(host)) as listener:
            try:
                listener.bind((host, _candidate()))
            except OSError:
                continue
            port: int = listener.getsockname()[1]
        if port not in _reserved:
            _reserved.add(port)
            return port
    raise OSError(f"no free port on {host}")


def claim_port(host: str, port: int) -> int:
    """Return `port` if it is free, any free one for 0; raises `SuiteError` before any process is started."""
    family = _family(host)
    if port == 0:
        return free_port(host)
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise SuiteError(f"this account may not serve port {port}; choose another one with --port") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise SuiteError(f"{host} is not an address of this machine") from error
            raise SuiteError(f"port {port} is in use; choose another one with --port") from error
    return port


def _family(host: str) -> socket.AddressFamily:
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    except (socket.gaierror, UnicodeError) as error:
        raise SuiteError(f"{host!r} is not an address: {error}") from error


def _candidate() -> int:
    try:
        first_ephemeral = int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return random.SystemRandom().randrange(_MIN_PORT, first_ephemeral) if first_ephemeral > _MIN_PORT else 0
