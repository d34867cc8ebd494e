"""Provisioning of streams, consumers and buckets as specified in `trunkline_protocols.streams`, before services start.

Idempotent: existing streams are updated if they differ, and none that holds messages is ever deleted. Calls are retried
while a cluster is starting (no leader yet, servers missing).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic import Field
from trunkline_protocols import streams, subjects
from trunkline_protocols.ids import SLOTS

from trunkline_chassis.bus import connect
from trunkline_chassis.errors import BusConfigError, BusRefusedError, BusUnavailableError
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import seed_fleet
from trunkline_chassis.logs import configure_logs
from trunkline_chassis.settings import ProcessSettings, load_settings

if TYPE_CHECKING:
    from trunkline_protocols.streams import BucketSpec, ConsumerSpec, StreamSpec

    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_NS: Final = 1_000_000_000
_STREAM_EXISTS: Final = 10058
_CLUSTER_STARTING: Final = frozenset({10005, 10008, 10009})
"""Too few servers for the replicas, no cluster leader, not the leader: returned while a cluster starts."""
_STARTUP_TIMEOUT_S: Final = 60.0
_RETRY_DELAY_S: Final = 0.25


class ProvisionSettings(ProcessSettings):
    """Settings of the provisioning command."""

    fleet_dir: Path = Field(Path("fleet"), description="Folder of the fleet that is published first")


async def provision(bus: Bus, *, region: str, specialties: list[str], replicas: int) -> None:
    """Create or update all streams, buckets and consumers that the services need."""
    for stream in streams.STREAMS:
        await _apply_stream(bus, _stream_config(stream, replicas))
    for bucket in streams.BUCKETS:
        await _apply_stream(bus, _bucket_config(bucket, replicas))
    await provision_work(bus, specialties)
    consumers = [
        *(streams.slot_consumer(region, slot) for slot in range(SLOTS)),
        *(streams.audit_consumer(stream) for stream in streams.AUDITED),
    ]
    for consumer in consumers:
        await _apply_consumer(bus, consumer)
    _log.info("topology.provisioned", streams=len(streams.STREAMS), consumers=len(consumers), replicas=replicas)


async def provision_work(bus: Bus, specialties: list[str]) -> None:
    """Create the consumers of all lanes of these specialties; called again when a new fleet version adds some."""
    wanted = [streams.work_consumer(specialty, lane) for specialty in specialties for lane in subjects.LANES]
    existing = set((await bus.api(f"CONSUMER.NAMES.{streams.WORK.name}")).get("consumers") or [])
    for name in _obsolete(existing, specialties):
        await bus.api(f"CONSUMER.DELETE.{streams.WORK.name}.{name}")
    for consumer in wanted:
        await _apply_consumer(bus, consumer)


def _obsolete(names: set[str], specialties: list[str]) -> list[str]:
    """Return the former consumers of all lanes of a specialty: a work queue allows no overlapping filters."""
    return sorted(names & {f"agents-{specialty}" for specialty in specialties})


async def _apply_stream(bus: Bus, config: dict[str, Any]) -> None:
    try:
        await _call_when_ready(bus, f"STREAM.CREATE.{config['name']}", config)
    except BusRefusedError as error:
        if error.code != _STREAM_EXISTS:
            raise
        await _call_when_ready(bus, f"STREAM.UPDATE.{config['name']}", config)


async def _call_when_ready(bus: Bus, subject: str, request: dict[str, Any]) -> None:
    """Call the API; retry while the cluster is starting, up to `_STARTUP_TIMEOUT_S`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _STARTUP_TIMEOUT_S
    while True:
        try:
            await bus.api(subject, request)
        except (BusRefusedError, BusUnavailableError) as error:
            refused = isinstance(error, BusRefusedError) and error.code not in _CLUSTER_STARTING
            if refused or loop.time() > deadline:
                raise
            await asyncio.sleep(_RETRY_DELAY_S)
        else:
            return


async def _apply_consumer(bus: Bus, spec: ConsumerSpec) -> None:
    request = {"stream_name": spec.stream, "config": _consumer_config(spec), "action": ""}
    await _call_when_ready(bus, f"CONSUMER.CREATE.{spec.stream}.{spec.name}", request)


def _consumer_config(spec: ConsumerSpec) -> dict[str, Any]:
    # Built by hand: nats-py has no fields for priority groups.
    config: dict[str, Any] = {
        "durable_name": spec.name,
        "name": spec.name,
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "ack_wait": int(spec.ack_wait_s * _NS),
        "max_deliver": spec.max_deliver,
        "max_ack_pending": spec.max_ack_pending,
        "filter_subjects": spec.filter_subjects,
        "mem_storage": spec.in_memory,
        "num_replicas": 0,
    }
    if spec.pinned:
        config |= {
            "priority_groups": [spec.pinned],
            "priority_policy": "pinned_client",
            "priority_timeout": int(spec.priority_timeout_s * _NS),
        }
    return config


def _stream_config(spec: StreamSpec, replicas: int) -> dict[str, Any]:
    return {
        "name": spec.name,
        "description": spec.description,
        "subjects": spec.subjects,
        "retention": spec.retention,
        "storage": spec.storage,
        "num_replicas": replicas if spec.replicated else 1,
        "max_age": int(spec.max_age_s * _NS),
        "max_msgs": spec.max_msgs,
        "max_bytes": -1,
        "max_consumers": -1,
        "discard": "old" if spec.storage == "file" else "new",
        "duplicate_window": int(spec.duplicate_window_s * _NS),
        "allow_direct": True,
        "allow_msg_ttl": spec.allow_msg_ttl,
    }


def _bucket_config(spec: BucketSpec, replicas: int) -> dict[str, Any]:
    return {
        "name": f"KV_{spec.name}",
        "description": spec.description,
        "subjects": [f"$KV.{spec.name}.>"],
        "retention": "limits",
        "storage": "memory" if spec.in_memory else "file",
        "num_replicas": 1 if spec.in_memory else replicas,
        "max_msgs_per_subject": spec.history,
        "max_age": int(spec.ttl_s * _NS),
        "max_bytes": -1,
        "max_consumers": -1,
        "discard": "new",
        "duplicate_window": int(min(spec.ttl_s or 120.0, 120.0) * _NS),
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
    }


async def main() -> None:
    """Provision the server of `TRUNKLINE_NATS_URL` and seed the fleet."""
    settings = load_settings(ProvisionSettings)
    configure_logs(service="provision", instance="provision", level=settings.log_level, style=settings.log_format)
    fleet = load_fleet(settings.fleet_dir)
    try:
        bus = await connect(settings.nats_url, "provision", principal="supervisor", security=settings.nats_security)
    except (BusConfigError, BusUnavailableError) as error:
        sys.exit(f"trunkline: {error}")
    try:
        await provision(bus, region=settings.region, specialties=fleet.specialties, replicas=settings.replicas)
        await seed_fleet(bus, fleet, by="provision")
    finally:
        await bus.close()


if __name__ == "__main__":
    asyncio.run(main())
