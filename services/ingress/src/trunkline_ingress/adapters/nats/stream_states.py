"""Leaders and copies of streams, from the JetStream API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusError

from trunkline_ingress.ports import StreamState

_TIMEOUT_S: Final = 2.0


class NatsStreamStates:
    """Requests the description of a stream, to which its leader alone replies."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def state(self, name: str) -> StreamState | None:
        """Return the state of a stream; None if it has no leader, does not exist, or NATS is not reached."""
        try:
            return stream_state(await self._bus.api(f"STREAM.INFO.{name}", timeout_s=_TIMEOUT_S))
        except BusError:
            return None


def stream_state(info: Mapping[str, Any]) -> StreamState:
    """Return the state that a leader describes; a server without a cluster describes no peers."""
    peers = info.get("cluster", {}).get("replicas") or []
    current = sum(bool(peer.get("current")) and not peer.get("offline") for peer in peers)
    return StreamState(replicas=info["config"]["num_replicas"], current=1 + current)
