"""The differences between a server and the specification, read without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trunkline_chassis.bus import CONSUMER_NOT_FOUND, STREAM_NOT_FOUND
from trunkline_chassis.errors import BusRefusedError
from trunkline_chassis.provision import TopologyOptions, stream_configs
from trunkline_chassis.stream_configs import Drift, compare_consumer, compare_stream, consumer_config

if TYPE_CHECKING:
    from trunkline_protocols.topology import Topology

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.stream_configs import Config


async def find_drift(bus: Bus, topology: Topology, options: TopologyOptions) -> list[Drift]:
    """Return every difference, missing streams and consumers included; needs the rights of a read-only operator."""
    drift: list[Drift] = []
    missing: set[str] = set()
    for name, (specified, limits) in stream_configs(topology, options).items():
        actual = await _config(bus, f"STREAM.INFO.{name}")
        if actual is None:
            missing.add(name)
            drift.append(Drift(f"stream {name}", "existence", "present", "missing", "broken"))
        else:
            drift += compare_stream(actual, specified, limits).drift
    for consumer in topology.consumers:
        if consumer.stream in missing:
            continue
        actual = await _config(bus, f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
        if actual is None:
            drift.append(Drift(f"consumer {consumer.name}", "existence", "present", "missing", "broken"))
        else:
            drift += compare_consumer(actual, consumer_config(consumer))
    return drift


async def _config(bus: Bus, subject: str) -> Config | None:
    """Return a configuration, None if there is no such stream or consumer."""
    try:
        config: Config = (await bus.api(subject))["config"]
    except BusRefusedError as error:
        if error.code in {STREAM_NOT_FOUND, CONSUMER_NOT_FOUND}:
            return None
        raise
    return config
