"""Wiring of an agents process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import Gauge
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.puller import Puller
from trunkline_protocols import streams
from trunkline_protocols.fleet import load_fleet

from trunkline_agents.adapters.nats import NatsColleagues
from trunkline_agents.beats import Beats
from trunkline_agents.core.routing import Router
from trunkline_agents.handlers import Desk
from trunkline_agents.settings import AgentsSettings

NAME: Final = "agents"
_AGENTS: Final = Gauge("trunkline_agents", "Agents that answer in this process", ["specialty", "node"])
_DEPTH: Final = Gauge("trunkline_work_queue_depth", "Turns waiting for an agent", ["specialty", "lane"])


class UnknownSpecialtyError(ValueError):
    """No agent of the fleet has the specialty that this process is to answer for."""


@asynccontextmanager
async def service(process: Process[AgentsSettings]) -> AsyncIterator[None]:
    """Answer for one specialty."""
    settings, bus = process.settings, process.bus
    fleet = load_fleet(settings.fleet_dir)
    agents = fleet.of(settings.specialty)
    if not agents:
        raise UnknownSpecialtyError(f"{settings.specialty} is none of {', '.join(fleet.specialties)}")
    colleagues = NatsColleagues(bus, settings.region, search_timeout_s=settings.search_timeout_s)
    # In a thread: half a second of arithmetic, while the connection has to answer pings.
    router = await asyncio.to_thread(Router, fleet)
    beats = Beats(colleagues, process.instance, settings.beat_s)
    desk = Desk(
        instance=process.instance,
        specialty=settings.specialty,
        fleet=fleet,
        router=router,
        colleagues=colleagues,
        beats=beats,
        bus=bus,
        latency=process.latency,
    )
    consumer = streams.work_consumer(settings.specialty)
    puller = Puller(
        bus,
        stream=consumer.stream,
        consumer=consumer.name,
        capacity=settings.concurrency,
        handle=desk.handle,
        ack_first=True,
    )
    _AGENTS.labels(settings.specialty, settings.node).set(len(agents))
    _DEPTH.labels(settings.specialty, "all").set_function(lambda: puller.pending)
    process.heartbeat.queue_depth = lambda: puller.pending
    process.spawn(beats.run())
    process.spawn(puller.run())
    yield
    await puller.drain(settings.shutdown_timeout_s)
