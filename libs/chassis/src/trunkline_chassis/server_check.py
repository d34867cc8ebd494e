"""Requirements on a NATS server: its version, and JetStream for the account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from trunkline_chassis.errors import BusConfigError, BusRefusedError

if TYPE_CHECKING:
    from trunkline_chassis.bus import Bus

MIN_VERSION: Final = (2, 14, 0)
"""The first server that resets a consumer to its unacknowledged messages ($JS.API.CONSUMER.RESET)."""

_NOT_ENABLED: Final = frozenset({503, 10039, 10076})
_LIMITS: Final = frozenset({10023, 10026, 10027, 10028, 10047, 10113, 10120, 10122})
"""Limits of the account or of the server: memory, storage, streams, consumers, or a size that a stream must have."""
_TOO_FEW_SERVERS: Final = frozenset({10005, 10074})


def version_problem(version: str) -> str:
    """Return the reason why a server version is too old, empty if it is not or cannot be told."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if found is None or tuple(map(int, found.groups())) >= MIN_VERSION:
        return ""
    return f"nats-server {version} is too old: at least {'.'.join(map(str, MIN_VERSION))} is needed"


async def check_server(bus: Bus) -> None:
    """Raise `BusConfigError` if the server is too old, or has no JetStream for this account."""
    info = bus.server_info
    problem = version_problem(str(info.get("version", "")))
    if problem:
        raise BusConfigError(f"NATS at {bus.address}: {problem}")
    if not info.get("jetstream", False):
        raise BusConfigError(f"NATS at {bus.address} runs without JetStream: start it with a `jetstream` block or -js")


def describe_refusal(asset: str, error: BusRefusedError) -> BusConfigError:
    """Return the refusal of a stream or consumer as a line for the operator, with the remedy if there is one."""
    remedy = ""
    if error.code in _NOT_ENABLED:
        remedy = "; enable JetStream for the account of this user"
    elif error.code in _LIMITS:
        remedy = "; raise the JetStream limits of the account, or set TRUNKLINE_STREAM_LIMITS"
    elif error.code in _TOO_FEW_SERVERS:
        remedy = "; TRUNKLINE_REPLICAS needs at least that number of servers in the cluster"
    return BusConfigError(f"NATS refuses {asset}: {error}{remedy}")
