"""Provisioning of streams, consumers and buckets as specified in `trunkline_protocols.streams`.

Idempotent: missing ones are created, and of existing ones only the fields that Trunkline owns are changed, see
`stream_configs`. Calls are retried while a cluster is starting (no leader yet, servers missing).
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from pydantic import Field
from trunkline_protocols import streams
from trunkline_protocols.topology import Topology, whole_topology, work_consumers

from trunkline_chassis.bus import CONSUMER_NOT_FOUND, ELECTING, STREAM_NOT_FOUND, connect
from trunkline_chassis.errors import BusError, BusRefusedError, BusUnavailableError
from trunkline_chassis.fleet_folder import FleetError, load_fleet
from trunkline_chassis.fleet_store import seed_fleet
from trunkline_chassis.logs import configure_logs
from trunkline_chassis.region_check import require_region
from trunkline_chassis.server_check import check_server, describe_refusal
from trunkline_chassis.settings import ProcessSettings, load_settings
from trunkline_chassis.stream_configs import (
    Config,
    Drift,
    bucket_config,
    compare_consumer,
    compare_stream,
    consumer_config,
    in_region,
    stream_config,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from trunkline_protocols.streams import ConsumerSpec

    from trunkline_chassis.bus import Bus
    from trunkline_chassis.lost_streams import LostStreams
    from trunkline_chassis.stream_limits import StreamLimits

R = TypeVar("R")

_log: Final = structlog.get_logger(__name__)
_STREAM_EXISTS: Final = 10058
_CONSUMER_EXISTS: Final = 10148
_CLUSTER_STARTING: Final = ELECTING | {10005}
"""With too few servers for the replicas: returned while a cluster starts."""
_STARTUP_TIMEOUT_S: Final = 60.0
_RETRY_DELAY_S: Final = 0.25
_CONNECT_TIMEOUT_S: Final = 7.0


class ProvisionSettings(ProcessSettings):
    """Settings of the provisioning command."""

    fleet_dir: Path = Field(Path("fleet"), description="Folder of the fleet that is published first")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyOptions:
    """The operator's choices for new streams and buckets."""

    replicas: int = 1
    """Copies of every replicated stream."""
    limits: Mapping[str, StreamLimits] = field(default_factory=dict)
    region: str = "local"
    """Region of the account that the streams are in."""
    tags: Sequence[str] = ()
    """Tags of the servers that may hold the streams."""


def stream_configs(topology: Topology, options: TopologyOptions) -> dict[str, tuple[Config, StreamLimits | None]]:
    """Return the specified configuration of each stream, those of the buckets included, with its limits."""
    specified: dict[str, tuple[Config, StreamLimits | None]] = {}
    for stream in topology.streams:
        specified[stream.name] = (
            stream_config(stream, options.replicas, options.limits),
            options.limits.get(stream.name),
        )
    for bucket in topology.buckets:
        config = bucket_config(bucket, options.replicas, options.limits)
        specified[config["name"]] = (config, options.limits.get(bucket.name))
    return {
        name: (in_region(config, options.region, options.tags), limits) for name, (config, limits) in specified.items()
    }


async def provision(
    bus: Bus,
    *,
    region: str,
    specialties: list[str],
    replicas: int,
    limits: Mapping[str, StreamLimits] | None = None,
    tags: Sequence[str] = (),
) -> list[Drift]:
    """Create or correct all streams, buckets and consumers that the services need; return the drift that was found.

    Raises `BusConfigError` if the server refuses one of them, or if the account belongs to another region, with a line
    for the operator.
    """
    try:
        await _when_ready(lambda: require_region(bus, region, service="provision"))
    except BusRefusedError as error:
        raise describe_refusal(f"stream {streams.CONVERSATIONS.name}", error) from error
    topology = whole_topology(region, specialties)
    await _delete_obsolete(bus, specialties)
    drift: list[Drift] = []
    options = TopologyOptions(replicas=replicas, limits=limits or {}, region=region, tags=tags)
    for config, chosen in stream_configs(topology, options).values():
        drift += await _apply_stream(bus, config, chosen)
    for consumer in topology.consumers:
        drift += await _apply_consumer(bus, consumer)
    for each in drift:
        _log.log(_LEVELS[each.kind], f"topology.drift_{each.kind}", asset=each.asset, field=each.field)
    _log.info(
        "topology.provisioned",
        streams=len(topology.streams),
        consumers=len(topology.consumers),
        replicas=replicas,
    )
    return drift


_LEVELS: Final = {"corrected": 20, "kept": 20, "broken": 40}


async def provision_work(bus: Bus, specialties: list[str]) -> None:
    """Create the consumers of all lanes of these specialties; called again when a new fleet version adds some."""
    await _delete_obsolete(bus, specialties)
    for consumer in work_consumers(specialties):
        await create_consumer(bus, consumer)


async def create_missing(
    bus: Bus, topology: Topology, options: TopologyOptions, lost: LostStreams | None = None
) -> list[str]:
    """Create the streams, buckets and consumers that the server does not have; return their names.

    Existing ones are left as they are; with `lost`, a replaceable stream whose node is gone is created again. Needs the
    rights of a service, not those of the supervisor.
    """
    created = []
    wanted = stream_configs(topology, options)
    if wanted:
        existing = set(await _names(bus, "STREAM.NAMES", "streams"))
        for name in (name for name in wanted if name not in existing):
            await _create_stream(bus, wanted[name][0])
            created.append(name)
        for name in (stream.name for stream in topology.replaceable):
            if lost is not None and name in existing and await lost.remove(name):
                await _create_stream(bus, wanted[name][0])
                created.append(name)
    for stream in sorted({consumer.stream for consumer in topology.consumers}):
        known = set(await _names(bus, f"CONSUMER.NAMES.{stream}", "consumers"))
        for consumer in topology.consumers:
            if consumer.stream == stream and consumer.name not in known:
                await create_consumer(bus, consumer)
                created.append(consumer.name)
    return created


async def create_consumer(bus: Bus, spec: ConsumerSpec) -> None:
    """Create a consumer unless it exists."""
    try:
        await _call_consumer_create(bus, spec, consumer_config(spec), action="create")
    except BusRefusedError as error:
        if error.code != _CONSUMER_EXISTS:
            raise describe_refusal(f"consumer {spec.name}", error) from error


async def _names(bus: Bus, subject: str, key: str) -> list[str]:
    """Return all names of a paged list."""
    found: list[str] = []
    while True:
        page = await bus.api(subject, {"offset": len(found)}, is_repeatable=True)
        found += page.get(key) or []
        if not page.get(key) or len(found) >= page.get("total", 0):
            return found


async def _delete_obsolete(bus: Bus, specialties: list[str]) -> None:
    """Delete the former consumers of all lanes of a specialty: a work queue allows no overlapping filters."""
    try:
        existing = set(await _names(bus, f"CONSUMER.NAMES.{streams.WORK.name}", "consumers"))
    except BusError:
        return  # without the stream there is no consumer
    for name in sorted(existing & {f"agents-{specialty}" for specialty in specialties}):
        await bus.api(f"CONSUMER.DELETE.{streams.WORK.name}.{name}")


async def _apply_stream(bus: Bus, specified: Config, limits: StreamLimits | None) -> list[Drift]:
    name = specified["name"]
    try:
        info = await _call_when_ready(bus, f"STREAM.INFO.{name}")
    except BusRefusedError as error:
        if error.code != STREAM_NOT_FOUND:
            raise describe_refusal(f"stream {name}", error) from error
        await _create_stream(bus, specified)
        return []
    comparison = compare_stream(info["config"], specified, limits)
    if comparison.update is not None:
        try:
            await _call_when_ready(bus, f"STREAM.UPDATE.{name}", comparison.update)
        except BusRefusedError as error:
            raise describe_refusal(f"the change of stream {name}", error) from error
    return comparison.drift


async def _create_stream(bus: Bus, config: Config) -> None:
    try:
        await _call_when_ready(bus, f"STREAM.CREATE.{config['name']}", config)
    except BusRefusedError as error:
        if error.code != _STREAM_EXISTS:  # another process was faster
            raise describe_refusal(f"stream {config['name']}", error) from error


async def _apply_consumer(bus: Bus, spec: ConsumerSpec) -> list[Drift]:
    try:
        info = await _call_when_ready(bus, f"CONSUMER.INFO.{spec.stream}.{spec.name}")
    except BusRefusedError as error:
        if error.code != CONSUMER_NOT_FOUND:
            raise describe_refusal(f"consumer {spec.name}", error) from error
        await create_consumer(bus, spec)
        return []
    specified = consumer_config(spec)
    drift = compare_consumer(info["config"], specified)
    kept = {each.field: each.actual for each in drift if each.kind == "kept"}
    if len(kept) < len(drift):
        try:
            await _call_consumer_create(bus, spec, specified | kept, action="update")
        except BusRefusedError as error:
            raise describe_refusal(f"the change of consumer {spec.name}", error) from error
    return drift


async def _call_consumer_create(bus: Bus, spec: ConsumerSpec, config: Config, *, action: str) -> None:
    request = {"stream_name": spec.stream, "config": config, "action": action}
    await _call_when_ready(bus, f"CONSUMER.CREATE.{spec.stream}.{spec.name}", request)


async def _call_when_ready(bus: Bus, subject: str, request: Config | None = None) -> dict[str, Any]:
    return await _when_ready(lambda: bus.api(subject, request, is_repeatable=True))


async def _when_ready(call: Callable[[], Awaitable[R]]) -> R:
    """Call the API; retry while the cluster is starting, up to `_STARTUP_TIMEOUT_S`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _STARTUP_TIMEOUT_S
    while True:
        try:
            return await call()
        except (BusRefusedError, BusUnavailableError) as error:
            refused = isinstance(error, BusRefusedError) and error.code not in _CLUSTER_STARTING
            if refused or loop.time() > deadline:
                raise
            await asyncio.sleep(_RETRY_DELAY_S)


async def _provision_once(settings: ProvisionSettings) -> None:
    fleet = load_fleet(settings.fleet_dir)
    bus = await connect(
        settings.nats_url,
        "provision",
        principal="supervisor",
        security=settings.nats_security,
        timeout_s=_CONNECT_TIMEOUT_S,
    )
    try:
        await check_server(bus)
        await provision(
            bus,
            region=settings.region,
            specialties=fleet.specialties,
            replicas=settings.replicas,
            limits=settings.stream_limits,
            tags=settings.stream_tags,
        )
        await seed_fleet(bus, fleet, by="provision")
    finally:
        await bus.close()


async def main() -> None:
    """Provision the server of `TRUNKLINE_NATS_URL` and seed the fleet; exit with one line if that is impossible."""
    settings = load_settings(ProvisionSettings)
    configure_logs(
        service="provision",
        instance="provision",
        region=settings.region,
        level=settings.log_level,
        style=settings.log_format,
    )
    try:
        await _provision_once(settings)
    except (BusError, FleetError) as error:
        sys.exit(f"trunkline: {error}")


if __name__ == "__main__":
    asyncio.run(main())
