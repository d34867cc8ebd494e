"""Monitoring of the streams: leaders and copies, which no process of a single-server NATS lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from prometheus_client import Gauge
from trunkline_chassis.ticks import next_tick

from trunkline_ingress.ports import StreamStates

_LEADER: Final = Gauge("trunkline_stream_leader", "1 if the leader of the stream replies", ["stream"])
_REPLICAS: Final = Gauge("trunkline_stream_replicas", "Configured copies of the stream", ["stream"])
_CURRENT: Final = Gauge(
    "trunkline_stream_replicas_current", "Copies of the stream that are online and up to date", ["stream"]
)
_INTERVAL_S: Final = 10.0


class StreamMonitor:
    """Publishes the state of the streams."""

    def __init__(self, states: StreamStates, streams: Iterable[str]) -> None:
        """`streams` are names."""
        self._states = states
        self._streams = list(streams)

    async def run(self) -> None:
        """Measure every ten seconds until cancelled."""
        while True:
            await self.measure()
            await next_tick(_INTERVAL_S)

    async def measure(self) -> None:
        """Measure once; without a leader, the numbers of copies keep their last value."""
        found = await asyncio.gather(*(self._states.state(name) for name in self._streams))
        for name, state in zip(self._streams, found, strict=True):
            _LEADER.labels(name).set(state is not None)
            if state is not None:
                _REPLICAS.labels(name).set(state.replicas)
                _CURRENT.labels(name).set(state.current)
