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
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import EVERY_INGRESS

from trunkline_ingress.adapters.nats import DeskLine, KnowledgeBase, NatsLine
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.http import explain_outages
from trunkline_ingress.handlers.ops.desk import DeskOps
from trunkline_ingress.handlers.ops.fleet import FleetOps
from trunkline_ingress.handlers.ops.knowledge import KnowledgeOps
from trunkline_ingress.handlers.ops.notices import NoticeOps
from trunkline_ingress.handlers.ops.suite import SuiteOps
from trunkline_ingress.handlers.pages import Pages
from trunkline_ingress.settings import IngressSettings

NAME = "ingress"
_MAX_BODY_BYTES = 8 * 1024 * 1024


@asynccontextmanager
async def service(process: Process[IngressSettings]) -> AsyncIterator[None]:
    """Serve customers and operators over HTTP."""
    settings, bus = process.settings, process.bus
    line, knowledge = NatsLine(bus, settings.region), KnowledgeBase(bus)
    fleets = await follow_fleet(bus)
    waiting = KvView(bus, streams.DESK.name, codec.waiting)
    await waiting.start()
    connections = SessionRegistry(process.instance, process.notices, waiting)
    authenticator = Authenticator(
        secret=settings.auth_secret.get_secret_value() if settings.auth_secret else None,
        operator_token=settings.operator_token.get_secret_value() if settings.operator_token else None,
    )
    chat = ChatEndpoint(
        instance=process.instance,
        line=line,
        connections=connections,
        authenticator=authenticator,
        resume_secret=settings.resume_secret.get_secret_value().encode(),
        messages_per_s=settings.messages_per_s,
        message_burst=settings.message_burst,
        outgoing_frames=settings.outgoing_frames,
    )
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[authenticator.operators_only, explain_outages])
    add_health_routes(app, process.readiness)
    app.add_routes(
        [
            web.get("/v1/chat", chat.serve),
            *Pages(knowledge, settings.region, fleets, process.notices).routes(),
            *SuiteOps(bus, line, settings.region).routes(),
            *KnowledgeOps(knowledge, settings.region).routes(),
            *FleetOps(bus, process.presences).routes(),
            *NoticeOps(bus, process.notices, process.presences, settings.region).routes(),
            *DeskOps(line, DeskLine(bus), waiting, settings.region).routes(),
        ]
    )

    await bus.subscribe(subjects.out_of(process.instance), connections.on_out)
    await bus.subscribe(subjects.out_of(EVERY_INGRESS), connections.on_out)
    await bus.subscribe(subjects.attach_any(settings.region), connections.on_attached)
    process.notices.on_change = connections.on_notice
    process.spawn(fleets.run())
    process.spawn(waiting.run())
    process.spawn(connections.watch())
    process.spawn(connections.tell_places())
    process.heartbeat.vitals = lambda: Vitals(queue_depth=len(connections), fleet_version=fleets.current.version)

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=settings.shutdown_timeout_s)
    await runner.setup()
    await web.TCPSite(
        runner, settings.http_host, settings.http_port, backlog=4096, reuse_port=settings.share_port
    ).start()
    yield
    await chat.hang_up()
    await runner.cleanup()
