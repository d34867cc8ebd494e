"""Wiring of the ingress."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_chassis.customer_keys import CustomerKeys
from trunkline_chassis.errors import FenceError
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import read_current_fleet, restore_fleet, seed_fleet
from trunkline_chassis.fleet_view import follow_fleet
from trunkline_chassis.health import IsReady, add_health_routes, listening
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.kv_view import KvView
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.startup import retry_start
from trunkline_chassis.texts import Texts, follow_keys
from trunkline_protocols import codec, streams

from trunkline_ingress.adapters.connections import ConnectionLimits, LimitedSite
from trunkline_ingress.adapters.customer_tokens import CustomerTokens
from trunkline_ingress.adapters.erasure_file import ErasureFile
from trunkline_ingress.adapters.jwks import KeySet
from trunkline_ingress.adapters.nats.announcements import NatsSocketPresence, NatsTurnCanceller
from trunkline_ingress.adapters.nats.archives import NatsArchive
from trunkline_ingress.adapters.nats.conversation_log import NatsConversationLog
from trunkline_ingress.adapters.nats.customer_index import NatsCustomerIndex
from trunkline_ingress.adapters.nats.customer_records import NatsCustomerRecords
from trunkline_ingress.adapters.nats.desk import NatsDesk
from trunkline_ingress.adapters.nats.erasures import NatsErasures
from trunkline_ingress.adapters.nats.fleet import NatsFleetStore
from trunkline_ingress.adapters.nats.holds import NatsHolds
from trunkline_ingress.adapters.nats.inbox import NatsInbox
from trunkline_ingress.adapters.nats.knowledge import KnowledgeClient
from trunkline_ingress.adapters.nats.notices import NatsNoticeStore
from trunkline_ingress.adapters.nats.recent_records import NatsRecentRecords
from trunkline_ingress.adapters.nats.record_proofs import NatsRecordProofs
from trunkline_ingress.adapters.nats.rollouts import NatsCommitFeed, NatsRollouts
from trunkline_ingress.adapters.nats.stream_states import NatsStreamStates
from trunkline_ingress.adapters.nats.suite_status import NatsSuiteStatus
from trunkline_ingress.adapters.nats.topology_probe import NatsTopologyProbe
from trunkline_ingress.adapters.nats.views import NatsViews
from trunkline_ingress.adapters.operator_directory import Operators
from trunkline_ingress.adapters.operator_keys import OperatorKeyFile
from trunkline_ingress.adapters.other_sites import OtherSites
from trunkline_ingress.application.cited_articles import CitedArticles
from trunkline_ingress.application.customer_claims import CustomerClaims
from trunkline_ingress.application.customer_exporter import CustomerExporter
from trunkline_ingress.application.readiness import SuiteReadiness
from trunkline_ingress.application.review_index import ReviewIndex
from trunkline_ingress.application.rollout_controller import RolloutController
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.application.session_opener import SessionOpener
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.application.stream_monitor import StreamMonitor
from trunkline_ingress.application.trace_reader import TraceReader
from trunkline_ingress.core.budget import Budget, Rate
from trunkline_ingress.core.network import parse_hosts, parse_networks
from trunkline_ingress.handlers.access import AccessControl, Route, health_rules
from trunkline_ingress.handlers.articles import ArticleEndpoint
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.edge import EdgeGuard
from trunkline_ingress.handlers.http import BODY_TIMEOUT_S, bus_errors
from trunkline_ingress.handlers.ops.customers import CustomerOps
from trunkline_ingress.handlers.ops.desk import DeskOps
from trunkline_ingress.handlers.ops.fleet import FleetOps
from trunkline_ingress.handlers.ops.holds import HoldOps
from trunkline_ingress.handlers.ops.knowledge import KnowledgeOps
from trunkline_ingress.handlers.ops.me import OperatorOps
from trunkline_ingress.handlers.ops.notices import NoticeOps
from trunkline_ingress.handlers.ops.review import ReviewOps
from trunkline_ingress.handlers.ops.rollout import RolloutOps
from trunkline_ingress.handlers.ops.suite import SuiteOps
from trunkline_ingress.handlers.pages import Pages, prefix_redirect
from trunkline_ingress.handlers.subscriptions import Subscriptions
from trunkline_ingress.operator_ports import (
    CommitFeed,
    ConversationArchive,
    CustomerIndex,
    CustomerRecords,
    Desk,
    Erasures,
    FleetStore,
    HoldStore,
    KnowledgeService,
    NoticeStore,
    RecordProofs,
    RolloutStore,
    SuiteStatusSource,
    ViewRecords,
)
from trunkline_ingress.ports import (
    ConversationLog,
    CurrentFleet,
    EscalationView,
    InboxHistory,
    LiveProcesses,
    NoticeView,
    StoredCustomers,
    StoredTextReader,
)
from trunkline_ingress.settings import IngressSettings

NAME = "ingress"
_MAX_BODY_BYTES = 8 * 1024 * 1024
_TCP_BACKLOG = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPorts:
    """Collaborators of the pages and of the operators' API."""

    inbox: InboxHistory
    log: ConversationLog
    review: ReviewIndex
    knowledge: KnowledgeService
    fleet: CurrentFleet
    fleet_store: FleetStore
    rollouts: RolloutStore
    commits: CommitFeed
    notices: NoticeView
    notice_store: NoticeStore
    processes: LiveProcesses
    suite: SuiteStatusSource
    desk: Desk
    escalations: EscalationView
    customers: StoredCustomers
    views: ViewRecords
    texts: StoredTextReader
    keys: CustomerKeys | None
    """None without a key file."""
    erasures: Erasures
    customer_records: CustomerRecords
    customer_index: CustomerIndex
    holds: HoldStore
    archive: ConversationArchive
    proofs: RecordProofs


class _Endpoint(Protocol):
    def routes(self) -> list[Route]: ...


@asynccontextmanager
async def service(process: Process[IngressSettings]) -> AsyncIterator[None]:
    """Serve customers and operators over HTTP."""
    settings, bus, region = process.settings, process.bus, process.settings.region
    keys = await follow_keys(process)
    texts = Texts(keys, encrypts=settings.encryption)
    inbox, log = NatsInbox(bus, texts), NatsConversationLog(bus, texts)
    await _seed_fleet(process)
    fleet = await follow_fleet(bus)
    process.topology.specialties = lambda: fleet.specialties
    process.topology.restore = lambda: restore_fleet(bus, fleet.current)
    escalations = KvView(bus, streams.DESK.name, codec.waiting)
    await escalations.start()
    customers = CustomerBucket(bus, texts)
    erasures = NatsErasures(bus, region, customers, ErasureFile(settings.erasures_file))
    # Before a text is read: a backup may have brought back a key that was destroyed.
    await retry_start(erasures.apply_list)
    sessions = SessionRegistry(process.notices, escalations)
    guard = _edge_guard(settings)
    sites = OtherSites(settings.sites, region)
    chat = ChatEndpoint(
        opener=SessionOpener(
            instance=process.instance,
            borders=process.borders,
            ports=SessionPorts(inbox, log, NatsSocketPresence(bus), NatsTurnCanceller(bus, region), texts),
            sessions=sessions,
            resume_secret=settings.resume_secret.get_secret_value().encode(),
            resume_ttl_s=settings.resume_ttl_s,
            max_queued_frames=settings.outgoing_frames,
            sites=sites,
        ),
        authenticator=await _authenticator(process),
        guard=guard,
        first_frame_timeout_s=settings.edge_first_frame_timeout_s,
        customer_claims=CustomerClaims(customers, fleet),
    )
    review = ReviewIndex(NatsRecentRecords(bus, texts), region)
    if keys is not None:
        keys.on_erased.append(lambda _: review.clear())
    ports = HttpPorts(
        inbox=inbox,
        log=log,
        review=review,
        knowledge=KnowledgeClient(bus, region),
        fleet=fleet,
        fleet_store=NatsFleetStore(bus),
        rollouts=NatsRollouts(bus),
        commits=NatsCommitFeed(bus),
        notices=process.notices,
        notice_store=NatsNoticeStore(bus, region),
        processes=process.presences,
        suite=NatsSuiteStatus(bus, process.presences, region, lambda: fleet.specialties),
        desk=NatsDesk(bus, texts),
        views=NatsViews(bus),
        holds=NatsHolds(bus, region),
        archive=NatsArchive(bus, region, texts),
        proofs=NatsRecordProofs(bus, region),
        escalations=escalations,
        customers=customers,
        texts=texts,
        keys=keys,
        erasures=erasures,
        customer_records=NatsCustomerRecords(bus, texts),
        customer_index=NatsCustomerIndex(bus, region),
    )
    operators = _operators(process)
    access = AccessControl(operators, settings.is_single_machine, health_rules(settings.path_prefix), process.borders)
    readiness = SuiteReadiness(
        process.readiness, NatsTopologyProbe(bus, region), process.presences, clock=time.monotonic
    )
    app = create_app(endpoints(ports, chat, operators, settings), access, guard, readiness, prefix=settings.path_prefix)
    app[BODY_TIMEOUT_S] = settings.edge_body_timeout_s

    await Subscriptions(process.instance, sessions).subscribe(bus, region)
    process.notices.on_change = sessions.publish_notice
    process.spawn(fleet.run())
    process.spawn(escalations.run())
    process.spawn(sites.run())
    controller = RolloutController(
        ports.rollouts,
        ports.commits,
        process.presences,
        fleets=lambda: fleet.fleets,
        instance=process.instance,
        now=time.time,
    )
    process.spawn(controller.run())
    process.spawn(sessions.check_overdue_sessions())
    process.spawn(sessions.publish_positions())
    process.spawn(StreamMonitor(NatsStreamStates(bus), [stream.name for stream in streams.STREAMS]).run())
    process.heartbeat.vitals = lambda: Vitals(
        queue_depth=len(sessions),
        fleet_version=fleet.current.version,
        candidate_version=fleet.candidate_version,
        attached=sessions.attached,
        detail=controller.summary,
    )

    runner = await _listen(app, guard, settings)
    yield
    await chat.close_all()
    await runner.cleanup()


def endpoints(ports: HttpPorts, chat: ChatEndpoint, operators: Operators, settings: IngressSettings) -> list[_Endpoint]:
    """Return all endpoints; every route that the ingress serves belongs to one of them, or is a health check."""
    region = settings.region
    articles = CitedArticles(ports.knowledge, ports.log)
    return [
        chat,
        OperatorOps(operators),
        Pages(ports.fleet, ports.notices, settings.edge_embed_origins.split()),
        ArticleEndpoint(articles, chat.authenticator, chat.opener.identity_of, chat.opener.borders),
        SuiteOps(
            ports.suite,
            TraceReader(ports.inbox, ports.log, ports.archive, ports.views, ports.proofs, region),
        ),
        KnowledgeOps(ports.knowledge),
        FleetOps(ports.fleet_store, ports.rollouts, ports.processes, settings.mcp_commands),
        RolloutOps(
            ports.rollouts, ports.fleet_store, ports.commits, ports.processes, settings.mcp_commands, now=time.time
        ),
        NoticeOps(ports.notice_store, ports.notices, ports.processes, region),
        ReviewOps(ports.review, ports.views, region),
        DeskOps(
            ports.desk,
            ports.log,
            ports.archive,
            ports.escalations,
            ports.customers,
            ports.views,
            chat.opener.borders,
            ports.texts,
        ),
        CustomerOps(
            ports.customers,
            ports.erasures,
            CustomerExporter(ports.customer_index, ports.customer_records, ports.archive, region),
            ports.keys,
            ports.views,
            region,
        ),
        HoldOps(ports.holds),
    ]


def create_app(
    served: Iterable[_Endpoint],
    access: AccessControl,
    guard: EdgeGuard,
    is_ready: IsReady,
    *,
    prefix: str = "",
) -> web.Application:
    """Create the application with its checks, in order: host and budget, access rule, errors of the bus.

    Every path is served below the path prefix too, which a proxy may have removed from a request.
    """
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[guard.check, access.enforce, bus_errors])
    routes = [route for endpoint in served for route in endpoint.routes()]
    for path in dict.fromkeys(("", prefix)):
        add_health_routes(app, is_ready, prefix=path)
        access.add_routes(app, routes, prefix=path)
    if prefix:
        access.add_routes(app, [prefix_redirect(prefix)])
    return app


async def _seed_fleet(process: Process[IngressSettings]) -> None:
    """Publish the fleet of the folder if NATS has none, as after a loss of its data."""
    folder = process.settings.fleet_dir
    if folder is not None and await read_current_fleet(process.bus) is None:
        with contextlib.suppress(FenceError):  # another process was faster
            await seed_fleet(process.bus, load_fleet(folder), by=process.instance)


async def _listen(app: web.Application, guard: EdgeGuard, settings: IngressSettings) -> web.AppRunner:
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=settings.shutdown_timeout_s,
        # Counts until the next request has arrived whole, so that it limits the time for a header.
        keepalive_timeout=settings.edge_header_timeout_s,
    )
    await runner.setup()
    limits = ConnectionLimits(
        total=settings.edge_connections,
        per_address=settings.edge_sockets_per_address,
        exempt=[*guard.trusted_proxies, *guard.unlimited],
    )

    async def listen() -> None:
        with listening(settings.http_host, settings.http_port):
            await LimitedSite(
                runner,
                settings.http_host,
                settings.http_port,
                limits=limits,
                backlog=_TCP_BACKLOG,
                reuse_port=settings.share_port,
            ).start()

    await retry_start(listen)
    return runner


def _edge_guard(settings: IngressSettings) -> EdgeGuard:
    return EdgeGuard(
        hosts=parse_hosts(settings.edge_hosts),
        trusted_proxies=parse_networks(settings.edge_trusted_proxies),
        unlimited=parse_networks(settings.edge_unlimited),
        budget=Budget(
            {
                "customer": Rate(settings.messages_per_s, settings.message_burst),
                "address": Rate(settings.edge_address_rate, settings.edge_address_burst),
                "tenant": Rate(settings.edge_tenant_rate, settings.edge_tenant_burst),
            }
        ),
        sockets_per_address=settings.edge_sockets_per_address,
    )


async def _authenticator(process: Process[IngressSettings]) -> Authenticator:
    settings = process.settings
    keys = None
    if settings.auth_jwks is not None:
        keys = KeySet(settings.auth_jwks)
        await keys.refresh()
        process.spawn(keys.run())
    tokens = CustomerTokens(
        secret=settings.auth_secret.get_secret_value() if settings.auth_secret else None,
        keys=keys,
        audience=settings.auth_audience,
        issuer=settings.auth_issuer,
    )
    return Authenticator(tokens if settings.authenticates else None, settings.auth_query_token)


def _operators(process: Process[IngressSettings]) -> Operators:
    settings = process.settings
    keys = OperatorKeyFile(settings.operator_keys) if settings.operator_keys is not None else None
    if keys is not None:
        process.spawn(keys.run())
    token = settings.operator_token.get_secret_value() if settings.operator_token else None
    return Operators(token=token, keys=keys, link=settings.operator_link)
