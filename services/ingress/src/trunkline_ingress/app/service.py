"""The service: its collaborators, and the work that it runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_chassis.errors import FenceError
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import read_current_fleet, restore_fleet, seed_fleet
from trunkline_chassis.fleet_view import FleetView, follow_fleet
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.kv_view import KvView
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.release_view import ReleaseView, follow_release
from trunkline_chassis.startup import retry_start
from trunkline_chassis.texts import Texts, follow_keys
from trunkline_protocols import codec, streams
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout

from trunkline_ingress.adapters.erasure_file import ErasureFile
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
from trunkline_ingress.adapters.nats.rollouts import NatsCommitFeed, NatsReleases, NatsRollouts
from trunkline_ingress.adapters.nats.stream_states import NatsStreamStates
from trunkline_ingress.adapters.nats.suite_status import NatsSuiteStatus
from trunkline_ingress.adapters.nats.topology_probe import NatsTopologyProbe
from trunkline_ingress.adapters.nats.views import NatsViews
from trunkline_ingress.adapters.other_sites import OtherSites
from trunkline_ingress.app.edge import authenticator_of, edge_guard, listen, operators_of
from trunkline_ingress.app.endpoints import HttpPorts, create_app, endpoints
from trunkline_ingress.application.admission import AdmissionControl
from trunkline_ingress.application.customer_claims import CustomerClaims
from trunkline_ingress.application.readiness import SuiteReadiness
from trunkline_ingress.application.release_seeding import ReleaseSeeding
from trunkline_ingress.application.review_index import ReviewIndex
from trunkline_ingress.application.rollout_controller import RolloutController
from trunkline_ingress.application.rollout_targets import FleetTarget, ReleaseTarget
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.application.session_opener import SessionOpener
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.application.stream_monitor import StreamMonitor
from trunkline_ingress.core.admission import AdmissionPolicy
from trunkline_ingress.handlers.access import AccessControl, health_rules
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.http import BODY_TIMEOUT_S
from trunkline_ingress.handlers.subscriptions import Subscriptions
from trunkline_ingress.settings import IngressSettings

NAME = "ingress"


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
    release = await follow_release(bus)
    escalations = KvView(bus, streams.DESK.name, codec.waiting)
    await escalations.start()
    customers = CustomerBucket(bus, texts)
    erasures = NatsErasures(bus, region, customers, ErasureFile(settings.erasures_file))
    # Before a text is read: a backup may have brought back a key that was destroyed.
    await retry_start(erasures.apply_list)
    sessions = SessionRegistry(process.notices, escalations, now=process.clock.time)
    policy = AdmissionPolicy(settings.admission_target_s, settings.admission_burst, is_enabled=settings.admission)
    admission = AdmissionControl(policy, process.presences, escalations, instance=process.instance)
    guard = edge_guard(settings)
    sites = OtherSites(settings.sites, region)
    chat = ChatEndpoint(
        opener=SessionOpener(
            instance=process.instance,
            borders=process.borders,
            ports=SessionPorts(inbox, log, NatsSocketPresence(bus), NatsTurnCanceller(bus, region), texts, admission),
            sessions=sessions,
            resume_secret=settings.resume_secret.get_secret_value().encode(),
            resume_ttl_s=settings.resume_ttl_s,
            max_queued_frames=settings.outgoing_frames,
            now=process.clock.time,
            sites=sites,
        ),
        authenticator=await authenticator_of(process),
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
        releases=NatsReleases(bus),
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
        now=process.clock.time,
    )
    operators = operators_of(process)
    access = AccessControl(operators, settings.is_single_machine, health_rules(settings.path_prefix), process.borders)
    readiness = SuiteReadiness(
        process.readiness, NatsTopologyProbe(bus, region), process.presences, clock=time.monotonic
    )
    app = create_app(
        endpoints(ports, chat, operators, settings),
        access,
        guard,
        readiness,
        degraded=lambda: readiness.degraded,
        prefix=settings.path_prefix,
    )
    app[BODY_TIMEOUT_S] = settings.edge_body_timeout_s

    await Subscriptions(process.instance, sessions, admission).subscribe(bus, region)
    process.notices.on_change = sessions.publish_notice
    process.spawn(fleet.run())
    process.spawn(escalations.run())
    process.spawn(sites.run())
    controllers = _rollout_controllers(process, ports, fleet, release)
    seeding = ReleaseSeeding(
        ports.releases, process.presences, release, instance=process.instance, now=process.clock.time
    )

    async def restore() -> None:
        await restore_fleet(bus, fleet.current)
        await seeding.restore()

    process.topology.restore = restore
    for work in (release.run(), seeding.run(), *(controller.run() for controller in controllers)):
        process.spawn(work)
    process.spawn(sessions.check_overdue_sessions())
    process.spawn(sessions.publish_positions())
    process.spawn(admission.run())
    process.spawn(StreamMonitor(NatsStreamStates(bus), [stream.name for stream in streams.STREAMS]).run())
    process.heartbeat.vitals = lambda: Vitals(
        queue_depth=len(sessions),
        fleet_version=fleet.current.version,
        candidate_version=fleet.candidate_version,
        attached=sessions.attached,
        release_rollout=release.number,
        detail={name: text for controller in controllers for name, text in controller.summary.items()},
        turns=admission.in_flight,
        is_refusing=admission.is_refusing,
    )

    runner = await listen(app, guard, settings)
    yield
    await chat.close_all()
    await runner.cleanup()


def _rollout_controllers(
    process: Process[IngressSettings], ports: HttpPorts, fleet: FleetView, release: ReleaseView
) -> tuple[RolloutController[FleetRollout], RolloutController[ReleaseRollout]]:
    """Return the controllers of the roll-outs of a fleet version and of a release."""
    fleets = FleetTarget(ports.rollouts, process.presences, lambda: fleet.fleets)
    releases = ReleaseTarget(ports.releases, process.presences, release)
    return (
        RolloutController(fleets, ports.commits, instance=process.instance, now=process.clock.time),
        RolloutController(releases, ports.commits, instance=process.instance, now=process.clock.time),
    )


async def _seed_fleet(process: Process[IngressSettings]) -> None:
    """Publish the fleet of the folder if NATS has none, as after a loss of its data."""
    folder = process.settings.fleet_dir
    if folder is not None and await read_current_fleet(process.bus) is None:
        with contextlib.suppress(FenceError):  # another process was faster
            await seed_fleet(process.bus, load_fleet(folder), by=process.instance)
