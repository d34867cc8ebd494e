"""Wiring of the ingress."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from trunkline_chassis.fleet_view import follow_fleet
from trunkline_chassis.health import add_health_routes
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.kv_view import KvView
from trunkline_chassis.lifecycle import Process
from trunkline_protocols import codec, streams

from trunkline_ingress.adapters.nats.announcements import NatsSocketPresence, NatsTurnCanceller
from trunkline_ingress.adapters.nats.conversation_log import NatsConversationLog
from trunkline_ingress.adapters.nats.desk import NatsDesk
from trunkline_ingress.adapters.nats.fleet import NatsFleetStore
from trunkline_ingress.adapters.nats.inbox import NatsInbox
from trunkline_ingress.adapters.nats.knowledge import KnowledgeClient
from trunkline_ingress.adapters.nats.notices import NatsNoticeStore
from trunkline_ingress.adapters.nats.supervisor import SupervisorClient
from trunkline_ingress.adapters.operator_directory import Operators
from trunkline_ingress.adapters.operator_keys import OperatorKeyFile
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.application.session_opener import SessionOpener
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.handlers.access import CUSTOMER, HEALTH_RULES, AccessControl, Route
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.http import bus_errors
from trunkline_ingress.handlers.ops.desk import DeskOps
from trunkline_ingress.handlers.ops.fleet import FleetOps
from trunkline_ingress.handlers.ops.knowledge import KnowledgeOps
from trunkline_ingress.handlers.ops.me import OperatorOps
from trunkline_ingress.handlers.ops.notices import NoticeOps
from trunkline_ingress.handlers.ops.suite import SuiteOps
from trunkline_ingress.handlers.pages import Pages
from trunkline_ingress.handlers.subscriptions import Subscriptions
from trunkline_ingress.settings import IngressSettings

NAME = "ingress"
_MAX_BODY_BYTES = 8 * 1024 * 1024
_TCP_BACKLOG = 4096


@asynccontextmanager
async def service(process: Process[IngressSettings]) -> AsyncIterator[None]:
    """Serve customers and operators over HTTP."""
    settings, bus, region = process.settings, process.bus, process.settings.region
    inbox, log, knowledge = NatsInbox(bus), NatsConversationLog(bus), KnowledgeClient(bus, region)
    fleet = await follow_fleet(bus)
    escalations = KvView(bus, streams.DESK.name, codec.waiting)
    await escalations.start()
    sessions = SessionRegistry(process.notices, escalations)
    authenticator = _authenticator(settings)
    chat = ChatEndpoint(
        opener=SessionOpener(
            instance=process.instance,
            ports=SessionPorts(inbox, log, NatsSocketPresence(bus), NatsTurnCanceller(bus, region)),
            sessions=sessions,
            resume_secret=settings.resume_secret.get_secret_value().encode(),
            max_queued_frames=settings.outgoing_frames,
        ),
        authenticator=authenticator,
        messages_per_s=settings.messages_per_s,
        message_burst=settings.message_burst,
    )
    operators = _operators(process)
    access = AccessControl(operators, settings.is_single_machine, dict(HEALTH_RULES))
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[access.enforce, bus_errors])
    add_health_routes(app, process.readiness)
    access.add_routes(
        app,
        [
            Route("GET", "/v1/chat", chat.serve, CUSTOMER),
            *OperatorOps(operators).routes(),
            *Pages(knowledge, fleet, process.notices).routes(),
            *SuiteOps(SupervisorClient(bus, region), inbox, log, region).routes(),
            *KnowledgeOps(knowledge).routes(),
            *FleetOps(NatsFleetStore(bus), process.presences, settings.mcp_commands).routes(),
            *NoticeOps(NatsNoticeStore(bus, region), process.notices, process.presences, region).routes(),
            *DeskOps(NatsDesk(bus), log, escalations, region).routes(),
        ],
    )

    await Subscriptions(process.instance, sessions).subscribe(bus, region)
    process.notices.on_change = sessions.publish_notice
    process.spawn(fleet.run())
    process.spawn(escalations.run())
    process.spawn(sessions.check_overdue_sessions())
    process.spawn(sessions.publish_positions())
    process.heartbeat.vitals = lambda: Vitals(queue_depth=len(sessions), fleet_version=fleet.current.version)

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=settings.shutdown_timeout_s)
    await runner.setup()
    await web.TCPSite(
        runner, settings.http_host, settings.http_port, backlog=_TCP_BACKLOG, reuse_port=settings.share_port
    ).start()
    yield
    await chat.close_all()
    await runner.cleanup()


def _authenticator(settings: IngressSettings) -> Authenticator:
    return Authenticator(secret=settings.auth_secret.get_secret_value() if settings.auth_secret else None)


def _operators(process: Process[IngressSettings]) -> Operators:
    settings = process.settings
    keys = OperatorKeyFile(settings.operator_keys) if settings.operator_keys is not None else None
    if keys is not None:
        process.spawn(keys.run())
    token = settings.operator_token.get_secret_value() if settings.operator_token else None
    return Operators(token=token, keys=keys, link=settings.operator_link)
