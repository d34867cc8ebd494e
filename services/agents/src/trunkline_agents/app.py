"""Wiring of an agents process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from nats.aio.msg import Msg
from prometheus_client import Gauge
from trunkline_chassis.fleet_view import follow_fleet
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.pull_consumer import PullConsumer
from trunkline_protocols import streams, subjects

from trunkline_agents import handlers
from trunkline_agents.adapters.artefact_store import RoutingArtefactStore
from trunkline_agents.adapters.http_tools import HttpTools
from trunkline_agents.adapters.mcp_tools import McpTools
from trunkline_agents.adapters.nats import NatsColleagues, PendingNotices
from trunkline_agents.adapters.tool_ledger import KvToolLedger
from trunkline_agents.application.advisor import Advisor
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.priority_semaphore import PrioritySemaphore
from trunkline_agents.application.routing import CurrentRouting, RouterLoader
from trunkline_agents.application.tool_loop import ToolLoop
from trunkline_agents.application.turn_worker import TurnWorker
from trunkline_agents.application.work_heartbeat import WorkHeartbeat
from trunkline_agents.settings import AgentsSettings, secret

NAME: Final = "agents"
_AGENTS: Final = Gauge("trunkline_agents", "Agents that answer in this process", ["specialty", "node"])
_DEPTH: Final = Gauge("trunkline_work_queue_depth", "Turns waiting for an agent", ["specialty", "lane"])


class UnknownSpecialtyError(ValueError):
    """No agent of the fleet has the specialty that this process is to answer for."""


@asynccontextmanager
async def service(process: Process[AgentsSettings]) -> AsyncIterator[None]:
    """Answer for one specialty."""
    settings, bus, specialty = process.settings, process.bus, process.settings.specialty
    fleets = await follow_fleet(bus)
    if not fleets.fleet.of(specialty):
        raise UnknownSpecialtyError(f"{specialty} is none of {', '.join(fleets.fleet.specialties)}")
    embedder = await asyncio.to_thread(settings.routing_embedder)
    school = RouterLoader(RoutingArtefactStore(bus, training_timeout_s=settings.training_timeout_s), embedder)
    experts = CurrentRouting(specialty, school, await school.learn(fleets.current))
    fleets.on_change = experts.hear
    colleagues = NatsColleagues(bus, settings.region, search_timeout_s=settings.search_timeout_s)
    beats = WorkHeartbeat(colleagues, process.instance, settings.beat_s)
    hands = PrioritySemaphore(settings.concurrency)
    consulting = ConsultationClient(
        colleagues, process.instance, silence_s=settings.consult_silence_s, longest_s=settings.consult_longest_s
    )
    advising = Advisor(colleagues, process.instance, specialty=specialty, experts=experts, progress_s=settings.beat_s)
    http_tools = HttpTools(secret)
    toolbox = ToolLoop(colleagues, KvToolLedger(bus), {"http": http_tools, "mcp": McpTools()})
    worker = TurnWorker(
        instance=process.instance,
        specialty=specialty,
        colleagues=colleagues,
        consulting=consulting,
        toolbox=toolbox,
        board=PendingNotices(process.notices),
        summarising=HandoffSummariser(colleagues, longest_s=settings.summary_longest_s),
    )
    intake = handlers.WorkHandler(
        instance=process.instance,
        colleagues=colleagues,
        worker=worker,
        advising=advising,
        experts=experts,
        beats=beats,
        hands=hands,
        latency=process.latency,
    )

    async def on_advice(message: Msg) -> None:
        handlers.on_advice(consulting, message)

    async def on_cancelled(message: Msg) -> None:
        handlers.on_consult_cancelled(advising, message)

    await bus.subscribe(subjects.advice(process.instance), on_advice)
    await bus.subscribe(subjects.consult_cancelled(specialty), on_cancelled)
    pullers = {lane: _puller(process, lane, intake) for lane in subjects.LANES}
    for lane, puller in pullers.items():
        _DEPTH.labels(specialty, lane).set_function(partial(_pending, puller))
        process.spawn(puller.run())
    _AGENTS.labels(specialty, settings.node).set_function(lambda: len(experts.current.fleet.of(specialty)))
    process.heartbeat.vitals = lambda: Vitals(
        queue_depth=hands.waiting + sum(puller.pending for puller in pullers.values()),
        specialties=[specialty],
        fleet_version=experts.current.version,
    )
    process.spawn(beats.run())
    process.spawn(fleets.run())
    process.spawn(experts.run())
    yield
    await asyncio.gather(*(puller.drain(settings.shutdown_timeout_s) for puller in pullers.values()))
    await http_tools.close()


def _puller(process: Process[AgentsSettings], lane: subjects.Lane, intake: handlers.WorkHandler) -> PullConsumer:
    consumer = streams.work_consumer(process.settings.specialty, lane)
    # More than there are hands for: among those that wait here the most pressing goes first.
    return PullConsumer(
        process.bus,
        stream=consumer.stream,
        consumer=consumer.name,
        capacity=2 * process.settings.concurrency,
        handle=intake.handle,
        ack_first=True,
    )


def _pending(puller: PullConsumer) -> int:
    return puller.pending
