"""Metrics of the streams, on a real nats-server."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY
from trunkline_chassis.bus import Bus
from trunkline_ingress.adapters.nats.stream_states import NatsStreamStates, stream_state
from trunkline_ingress.application.stream_monitor import StreamMonitor
from trunkline_ingress.ports import StreamState
from trunkline_protocols import streams

CLUSTER = {"config": {"num_replicas": 3}, "cluster": {"leader": "nats-1"}}


def metric(name: str, stream: str) -> float | None:
    """Return the value of a metric of a stream."""
    return REGISTRY.get_sample_value(f"trunkline_stream_{name}", {"stream": stream})


@pytest.mark.processes
async def test_stream_has_a_leader_until_it_is_gone(bus: Bus) -> None:
    """The numbers of copies stay: only the leader knows them."""
    monitor = StreamMonitor(NatsStreamStates(bus), [stream.name for stream in streams.STREAMS])
    await monitor.measure()
    for stream in streams.STREAMS:
        assert [metric(name, stream.name) for name in ("leader", "replicas", "replicas_current")] == [1, 1, 1]
    await bus.api(f"STREAM.DELETE.{streams.NOTICES.name}")
    await monitor.measure()
    assert [metric(name, streams.NOTICES.name) for name in ("leader", "replicas", "replicas_current")] == [0, 1, 1]
    assert metric("leader", streams.INBOX.name) == 1


@pytest.mark.parametrize(
    ("peers", "current"),
    [
        ([{"current": True}, {"current": True}], 3),
        ([{"current": True}, {"current": False, "offline": True}], 2),
        ([{"current": True}, {"current": True, "offline": True}], 2),
        ([{"current": False, "lag": 7}, {"current": True}], 2),
    ],
)
def test_copy_counts_while_it_is_online_and_up_to_date(peers: list[dict[str, object]], current: int) -> None:
    """The leader, which replies, is one of them."""
    info = {**CLUSTER, "cluster": {"leader": "nats-1", "replicas": peers}}
    assert stream_state(info) == StreamState(replicas=3, current=current)
