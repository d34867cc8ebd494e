"""The HTTP application of the ingress: its endpoints, and the collaborators that they need."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from trunkline_chassis.customer_keys import CustomerKeys
from trunkline_chassis.health import IsReady, add_health_routes

from trunkline_ingress.adapters.operator_directory import Operators
from trunkline_ingress.application.cited_articles import CitedArticles
from trunkline_ingress.application.customer_exporter import CustomerExporter
from trunkline_ingress.application.review_index import ReviewIndex
from trunkline_ingress.application.trace_reader import TraceReader
from trunkline_ingress.handlers.access import AccessControl, Route
from trunkline_ingress.handlers.articles import ArticleEndpoint
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.edge import EdgeGuard
from trunkline_ingress.handlers.http import bus_errors
from trunkline_ingress.handlers.ops.customers import CustomerOps
from trunkline_ingress.handlers.ops.desk import DeskOps
from trunkline_ingress.handlers.ops.fleet import FleetOps
from trunkline_ingress.handlers.ops.holds import HoldOps
from trunkline_ingress.handlers.ops.knowledge import KnowledgeOps
from trunkline_ingress.handlers.ops.me import OperatorOps
from trunkline_ingress.handlers.ops.notices import NoticeOps
from trunkline_ingress.handlers.ops.release import ReleaseOps
from trunkline_ingress.handlers.ops.review import ReviewOps
from trunkline_ingress.handlers.ops.rollout import RolloutOps
from trunkline_ingress.handlers.ops.suite import SuiteOps
from trunkline_ingress.handlers.pages import Pages, prefix_redirect
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
    ReleaseStore,
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

_MAX_BODY_BYTES = 8 * 1024 * 1024


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
    releases: ReleaseStore
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
    now: Callable[[], float] = time.time
    """Clock: Unix seconds."""


class Endpoint(Protocol):
    """A group of routes."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        ...


def endpoints(ports: HttpPorts, chat: ChatEndpoint, operators: Operators, settings: IngressSettings) -> list[Endpoint]:
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
            TraceReader(ports.inbox, ports.log, ports.archive, ports.views, ports.proofs, chat.opener.borders),
        ),
        KnowledgeOps(ports.knowledge),
        FleetOps(ports.fleet_store, ports.rollouts, ports.releases, ports.processes, settings.mcp_commands),
        RolloutOps(
            ports.rollouts,
            ports.releases,
            ports.fleet_store,
            ports.commits,
            ports.processes,
            settings.mcp_commands,
            now=ports.now,
        ),
        ReleaseOps(ports.releases, ports.rollouts, ports.commits, ports.processes, now=ports.now),
        NoticeOps(ports.notice_store, ports.notices, ports.processes, region, ports.now),
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
            CustomerExporter(ports.customer_index, ports.customer_records, ports.archive, chat.opener.borders),
            ports.keys,
            ports.views,
            region,
        ),
        HoldOps(ports.holds),
    ]


def create_app(
    served: Iterable[Endpoint],
    access: AccessControl,
    guard: EdgeGuard,
    is_ready: IsReady,
    *,
    degraded: Callable[[], Sequence[str]] = tuple,
    prefix: str = "",
) -> web.Application:
    """Create the application with its checks, in order: host and budget, access rule, errors of the bus.

    Every path is served below the path prefix too, which a proxy may have removed from a request.
    """
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[guard.check, access.enforce, bus_errors])
    routes = [route for endpoint in served for route in endpoint.routes()]
    for path in dict.fromkeys(("", prefix)):
        add_health_routes(app, is_ready, degraded=degraded, prefix=path)
        access.add_routes(app, routes, prefix=path)
    if prefix:
        access.add_routes(app, [prefix_redirect(prefix)])
    return app
