"""Free TCP ports for embedded servers. A port is never assumed."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 20_000
_TRIES: Final = 64
_given: Final[set[int]] = set()
"""Ports that this process has promised to somebody, who may not listen yet."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on now, each once in a process.

    Below the ports that the kernel gives to connections: there, a client that keeps trying a server that is down can
    be given the server's own port, and connects to itself.
    """
    for _ in range(_TRIES):
        with socket.socket() as listener:
            try:
                listener.bind((host, _candidate()))
            except OSError:
                continue
            port: int = listener.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port
    raise OSError(f"no free port on {host}")


def _candidate() -> int:
    try:
        first_ephemeral = int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return random.SystemRandom().randrange(_LOWEST, first_ephemeral) if first_ephemeral > _LOWEST else 0
