"""The client of nats-py as every process uses it: it leaves a silent server at once, and reconnects without a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nats.aio.client import Client
from trunkline_protocols.permissions import inbox_prefix

if TYPE_CHECKING:
    from trunkline_chassis.nats_security import NatsSecurity


class AbortingClient(Client):
    """A client that leaves a silent server at once: nats-py closes TLS in order, for which asyncio waits 30 s."""

    async def _attempt_reconnect(self) -> None:
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        await super()._attempt_reconnect()


def connection_options(url: str, name: str, principal: str, security: NatsSecurity) -> dict[str, Any]:
    """Return the options of every connection: unlimited reconnects, a dead server detected within 4 s.

    Servers are tried in the given order, the nearest first: if all processes of a machine use the same server, their
    messages take no extra hop.
    """
    return {
        **security.options(url),
        "inbox_prefix": inbox_prefix(principal),
        "dont_randomize": True,
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "connect_timeout": 2,
        "ping_interval": 2,
        "max_outstanding_pings": 2,
        "pending_size": 16 * 1024 * 1024,
    }
