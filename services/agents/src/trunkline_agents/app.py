"""Wiring of an agents process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from nats.aio.msg import Msg
from prometheus_client import Gauge
from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_chassis.fleet_view import FleetView, follow_fleet
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.release_view import ReleaseView, follow_release
from trunkline_chassis.rpc import Responder
from trunkline_chassis.startup import retry_start
from trunkline_chassis.texts import Texts, follow_keys
from trunkline_chassis.tracing.span_types import READ_CUSTOMER
from trunkline_protocols import codec, subjects
from trunkline_protocols.fleet import ALL_SPECIALTIES
from trunkline_protocols.rules.colours import queues_served

from trunkline_agents import handlers
from trunkline_agents.adapters.artefact_folder import ArtefactFolder
from trunkline_agents.adapters.artefact_store import KvArtefactStore
from trunkline_agents.adapters.call_limits import KvCallLimits
from trunkline_agents.adapters.http_tools import HttpToolClient
from trunkline_agents.adapters.language_model import NatsLanguageModel
from trunkline_agents.adapters.mcp_tools import McpToolClient
from trunkline_agents.adapters.nats import ActiveNotices, NatsConsultations, NatsKnowledgeBase, NatsResultSink
from trunkline_agents.adapters.package_data import built_in_examples, language_texts
from trunkline_agents.adapters.queue_ages import JetStreamQueueAges
from trunkline_agents.adapters.schema_checker import ProcessSchemaChecker
from trunkline_agents.adapters.tool_ledger import KvToolLedger
from trunkline_agents.adapters.tool_secrets import ToolSecrets
from trunkline_agents.adapters.work_queues import WorkQueues
from trunkline_agents.application.advisor import Advisor
from trunkline_agents.application.answer_writer import AnswerWriter
from trunkline_agents.application.completion_ids import CompletionIds
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.customer_reader import CustomerReader
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.message_analyst import MessageAnalyst
from trunkline_agents.application.request_clock import RequestClock
from trunkline_agents.application.routing import CurrentRouting, RouterLoader
from trunkline_agents.application.tool_loop import ToolLoop
from trunkline_agents.application.turn_worker import TurnWorker
from trunkline_agents.application.work_admission import WorkAdmission
from trunkline_agents.application.work_heartbeat import WorkHeartbeat
from trunkline_agents.ports import ToolPorts
from trunkline_agents.settings import AgentsSettings, secret

NAME: Final = "agents"
_CUSTOMERS: Final = "customers"
"""Queue group of all agents processes for requests to read facts."""
_AGENTS: Final = Gauge("trunkline_agents", "Agents served by this process", ["specialty", "node"])


class UnknownSpecialtyError(ValueError):
    """No agent of the fleet has the configured specialty."""


@dataclass(frozen=True, slots=True)
class _Adapters:
    """Adapters of one process."""

    knowledge: NatsKnowledgeBase
    model: NatsLanguageModel
    sink: NatsResultSink
    consultations: NatsConsultations
    http_tools: HttpToolClient
    mcp_tools: McpToolClient
    schemas: ProcessSchemaChecker


@asynccontextmanager
async def service(process: Process[AgentsSettings]) -> AsyncIterator[None]:
    """Serve one specialty, or all of the fleet."""
    settings, bus = process.settings, process.bus
    fleet = await follow_fleet(bus)
    release = await follow_release(bus)
    routing = await _load_routing(process, fleet)
    adapters = _adapters(process)
    texts = Texts(await follow_keys(process), encrypts=settings.encryption)
    consultations = ConsultationClient(
        adapters.consultations,
        process.instance,
        idle_timeout_s=settings.consult_idle_timeout_s,
        timeout_s=settings.consult_timeout_s,
    )
    advisor = Advisor(
        routing=routing,
        knowledge=adapters.knowledge,
        model=adapters.model,
        consultations=adapters.consultations,
        progress_interval_s=settings.work_heartbeat_interval_s,
    )
    tool_loop = _tool_loop(process, adapters, texts)
    heartbeat = WorkHeartbeat(adapters.sink, settings.work_heartbeat_interval_s)
    handler = handlers.WorkHandler(
        sink=adapters.sink,
        worker=_turn_worker(process, adapters, consultations, tool_loop),
        advisor=advisor,
        routing=routing,
        heartbeat=heartbeat,
        concurrency=settings.concurrency,
        latency=process.latency,
        admission=WorkAdmission(process.borders, RequestClock(JetStreamQueueAges(bus))),
    )
    await _subscribe_to_advice(process, consultations)
    responder = await _serve_customers(process, fleet, adapters, texts)
    queues = WorkQueues(
        bus,
        # Twice the permits: the semaphore admits the waiting turns by priority.
        capacity=2 * settings.concurrency,
        handle=handler.handle,
        on_cancelled=partial(handlers.on_consult_cancelled, advisor),
        stop_timeout_s=settings.shutdown_timeout_s,
    )
    _follow_specialties(process, routing, release, queues)
    # The specialties were not known to the first repair, and a ready process has its queues.
    await retry_start(process.topology.repair)
    process.heartbeat.vitals = lambda: Vitals(
        queue_depth=handler.waiting + queues.pending,
        specialties=list(queues.specialties),
        fleet_version=routing.current.version,
        candidate_version=routing.candidate_version,
        colour=settings.colour,
        release_rollout=release.number,
        outside=tool_loop.calls,
        work_age_s=handler.oldest_wait_s,
    )
    for work in (queues.run(), heartbeat.run(), fleet.run(), release.run(), routing.run()):
        process.spawn(work)
    yield
    await asyncio.gather(queues.drain(settings.shutdown_timeout_s), responder.close(settings.shutdown_timeout_s))
    await adapters.http_tools.close()
    await adapters.schemas.close()


def _adapters(process: Process[AgentsSettings]) -> _Adapters:
    settings, bus = process.settings, process.bus
    secrets = ToolSecrets(secret, settings.secret_hosts)
    return _Adapters(
        knowledge=NatsKnowledgeBase(bus, settings.region, timeout_s=settings.search_timeout_s),
        model=NatsLanguageModel(bus, settings.region),
        sink=NatsResultSink(bus),
        consultations=NatsConsultations(bus, settings.colour),
        http_tools=HttpToolClient(secrets),
        mcp_tools=McpToolClient(secrets, settings.mcp_commands),
        schemas=ProcessSchemaChecker(),
    )


async def _load_routing(process: Process[AgentsSettings], fleet: FleetView) -> CurrentRouting:
    """Load the routing of the current fleet and follow its changes."""
    settings = process.settings
    if settings.specialty != ALL_SPECIALTIES and settings.specialty not in fleet.specialties:
        specialties = ", ".join(fleet.specialties)
        raise UnknownSpecialtyError(f"specialty {settings.specialty!r} must be one of: {specialties}")
    embedder = await asyncio.to_thread(lambda: settings.embedder_choice().fingerprint)
    folder = ArtefactFolder(settings.routing_cache) if settings.routing_cache is not None else None
    store = KvArtefactStore(process.bus, training_timeout_s=settings.training_timeout_s, folder=folder)
    loader = RouterLoader(store, embedder, built_in_examples())
    routing = CurrentRouting(loader, await loader.load(fleet.current), specialty=settings.specialty)
    # A process that starts in a roll-out answers turns of both versions from its first one.
    await routing.load(fleet.fleets)
    fleet.on_change = routing.on_fleet_change
    return routing


def _tool_loop(process: Process[AgentsSettings], adapters: _Adapters, texts: Texts) -> ToolLoop:
    tools = ToolPorts(
        clients={"http": adapters.http_tools, "mcp": adapters.mcp_tools},
        schemas=adapters.schemas,
        limits=KvCallLimits(process.bus, time.time),
        borders=process.borders,
    )
    return ToolLoop(adapters.model, KvToolLedger(process.bus, texts), tools)


def _turn_worker(
    process: Process[AgentsSettings], adapters: _Adapters, consultations: ConsultationClient, tool_loop: ToolLoop
) -> TurnWorker:
    ids = CompletionIds(process.instance, start=int(time.time() * 1000))
    return TurnWorker(
        instance=process.instance,
        analyst=MessageAnalyst(adapters.knowledge),
        languages=language_texts(),
        writer=AnswerWriter(
            knowledge=adapters.knowledge,
            model=adapters.model,
            consultations=consultations,
            tool_loop=tool_loop,
            notices=ActiveNotices(process.notices),
            ids=ids,
        ),
        summariser=HandoffSummariser(adapters.model, timeout_s=process.settings.summary_timeout_s),
        ids=ids,
        reader_addresses=process.settings.reader_addresses,
    )


async def _subscribe_to_advice(process: Process[AgentsSettings], consultations: ConsultationClient) -> None:
    async def on_advice(message: Msg) -> None:
        handlers.on_advice(consultations, message)

    await process.bus.subscribe(subjects.advice(process.instance), on_advice)


async def _serve_customers(
    process: Process[AgentsSettings], fleet: FleetView, adapters: _Adapters, texts: Texts
) -> Responder:
    """Read facts about customers on request; all agents processes share the requests."""
    reader = CustomerReader(
        CustomerBucket(process.bus, texts),
        {"http": adapters.http_tools, "mcp": adapters.mcp_tools},
        fleet=lambda version: fleet.fleets.of(version).fleet,
        addresses=process.settings.reader_addresses,
        instance=process.instance,
        borders=process.borders,
        now=time.time,
    )
    responder = Responder(process.bus, _CUSTOMERS, process.latency, process.group)
    await responder.serve(
        subjects.read_customer(process.settings.region), codec.customer_request, reader.read, span=READ_CUSTOMER
    )
    return responder


def _follow_specialties(
    process: Process[AgentsSettings], routing: CurrentRouting, release: ReleaseView, queues: WorkQueues
) -> None:
    """Serve the specialties of the current fleet, and those of every later version once its routing is loaded.

    The queues without a colour are served as long as the own release is the one in force.
    """
    node, colour = process.settings.node, process.settings.colour

    def serve() -> None:
        queues.serve(routing.served, queues_served(colour, release.release))

    def count(specialty: str) -> int:
        return len(routing.current.fleet.of(specialty))

    def on_loaded() -> None:
        serve()
        for specialty in routing.served:
            _AGENTS.labels(specialty, node).set_function(partial(count, specialty))

    routing.on_loaded = on_loaded
    release.on_change = serve
    process.topology.colour = colour
    process.topology.specialties = lambda: queues.specialties
    on_loaded()
