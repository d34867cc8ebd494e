"""The NATS server: version, JetStream, and drift of streams and consumers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.drift import find_drift
from trunkline_chassis.errors import BusError
from trunkline_chassis.fleet_store import read_current_fleet
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_chassis.provision import TopologyOptions
from trunkline_chassis.server_check import check_server
from trunkline_chassis.stream_configs import Drift
from trunkline_protocols.topology import whole_topology
from trunkline_supervisor.adapters.nats_credentials import operator_url_file
from trunkline_supervisor.settings import SuiteSettings

from trunkline_cli.doctor.diagnosis import Diagnosis

_TIMEOUT_S: Final = 7.0
_PART: Final = "NATS"


async def examine_nats(settings: SuiteSettings) -> list[Diagnosis]:
    """Examine the server of TRUNKLINE_NATS_URL, else the embedded one, which must be running."""
    address_file = operator_url_file(settings.data_dir)
    if settings.nats_url is None and not address_file.exists():
        return [Diagnosis("note", _PART, f"no suite has run in {settings.data_dir}: its NATS server was not examined")]
    try:
        async with _open(settings) as bus:
            await check_server(bus)
            version = Diagnosis(
                "ok", _PART, f"nats-server {bus.server_info['version']} with JetStream at {bus.address}"
            )
            return [version, *await _examine_topology(bus, settings)]
    except BusError as error:
        return [Diagnosis("error", _PART, str(error))]


@asynccontextmanager
async def _open(settings: SuiteSettings) -> AsyncIterator[Bus]:
    if settings.nats_url is not None:
        url, principal, security = settings.nats_url, settings.nats_user or "supervisor", settings.nats_security
    else:
        url = operator_url_file(settings.data_dir).read_text(encoding="utf-8-sig")
        principal, security = "operator", NatsSecurity()
    bus = await connect(url, "doctor", principal=principal, security=security, timeout_s=_TIMEOUT_S)
    try:
        yield bus
    finally:
        await bus.close()


async def _examine_topology(bus: Bus, settings: SuiteSettings) -> list[Diagnosis]:
    try:
        current = await read_current_fleet(bus)
    except BusError:
        current = None
    specialties = current.fleet.specialties if current is not None else []
    # Without a number in the settings, `up` uses one copy per embedded server, whose number is not known here.
    options = TopologyOptions(
        replicas=settings.replicas or 1,
        limits=settings.stream_limits,
        region=settings.region,
        tags=settings.stream_tags,
    )
    drift = await find_drift(bus, whole_topology(settings.region, specialties), options)
    fleet = (
        Diagnosis("ok", "fleet", f"version {current.version}, {len(current.fleet.agents)} agents")
        if current is not None
        else Diagnosis("error", "fleet", "no version in KV FLEET: start the suite, or run trunkline_chassis.provision")
    )
    shown = [each for each in drift if not (each.field == "num_replicas" and settings.replicas is None)]
    if not shown:
        return [fleet, Diagnosis("ok", "streams", "as specified")]
    return [fleet, *(_describe(each) for each in shown)]


def _describe(drift: Drift) -> Diagnosis:
    match drift.kind:
        case "kept":
            return Diagnosis("note", "streams", f"{drift}; kept, unless TRUNKLINE_STREAM_LIMITS sets it")
        case "corrected":
            return Diagnosis("error", "streams", f"{drift}; the next start corrects it")
        case "broken" if drift.field == "existence":
            return Diagnosis("error", "streams", f"{drift.asset} is missing; a running suite creates it within seconds")
        case "broken":
            return Diagnosis("error", "streams", f"{drift}; no server changes it: create the stream again")
