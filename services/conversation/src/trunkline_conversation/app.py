"""Composition root of the conversation service: wiring only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_chassis.fleet_view import follow_fleet
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.pinned_consumer import PinnedConsumer
from trunkline_chassis.release_view import follow_release
from trunkline_chassis.texts import Texts, follow_keys
from trunkline_protocols import streams, subjects
from trunkline_protocols.ids import SLOTS, ConversationId

from trunkline_conversation.adapters.jetstream_log import JetStreamLog
from trunkline_conversation.adapters.jetstream_work_queue import JetStreamWorkQueue
from trunkline_conversation.adapters.kv_escalation_queue import KvEscalationQueue
from trunkline_conversation.adapters.nats_customer_directory import NatsCustomerDirectory
from trunkline_conversation.adapters.nats_notifier import NatsNotifier
from trunkline_conversation.application.actor import ActorConfig, ConversationActor
from trunkline_conversation.application.customer_contexts import CustomerContexts
from trunkline_conversation.application.customer_socket_monitor import CustomerSocketMonitor
from trunkline_conversation.application.dispatch import TurnTimeouts
from trunkline_conversation.application.environment import EnvironmentReader
from trunkline_conversation.application.registry import ConversationRegistry
from trunkline_conversation.core.ownership import SlotOwnership
from trunkline_conversation.handlers import (
    CustomerChangeHandler,
    ErasureHandler,
    InboxHandler,
    PeerHandlers,
    watch_overdue,
    watch_sockets,
)
from trunkline_conversation.ports import ConversationPorts
from trunkline_conversation.settings import ConversationSettings

NAME = "conversation"
_INGRESS = "ingress"


@asynccontextmanager
async def service(process: Process[ConversationSettings]) -> AsyncIterator[None]:
    """Run the conversation service: process the inbox slots that this process holds."""
    settings, bus = process.settings, process.bus
    fleet_view = await follow_fleet(bus)
    release_view = await follow_release(bus)
    keys = await follow_keys(process)
    # The ingress creates the key of a customer with the first message.
    texts = Texts(keys, encrypts=settings.encryption, may_create=False)
    escalation_queue = KvEscalationQueue(bus, process.clock.time, settings.region, texts)
    await escalation_queue.start()
    environments = EnvironmentReader(
        fleet_view, release_view, process.presences, escalation_queue, now=process.clock.time
    )
    directory = NatsCustomerDirectory(bus, settings.region, texts)
    customers = CustomerContexts(
        directory,
        fleet=lambda version: fleet_view.fleets.of(version).fleet,
        addresses=settings.reader_addresses,
        spawn=process.group.create_task,
        now=process.clock.time,
    )
    ports = ConversationPorts(
        log=JetStreamLog(bus, settings.region, texts),
        work_queue=JetStreamWorkQueue(bus),
        notifier=NatsNotifier(bus),
        escalation_queue=escalation_queue,
        customers=customers,
        borders=process.borders,
        now=process.clock.time,
    )
    config = _actor_config(process)

    def create(conversation: ConversationId) -> ConversationActor:
        return ConversationActor(conversation, config, ports, environments)

    def ownership() -> SlotOwnership:
        return SlotOwnership(process.instance, process.presences.alive(NAME))

    conversations = ConversationRegistry(
        create,
        is_finishing_elsewhere=lambda conversation: ownership().is_finishing_elsewhere(conversation),
        on_finishing_changed=process.heartbeat.publish_soon,
        budget_bytes=settings.memory_budget_mib * 2**20,
        latency=process.latency,
    )
    inbox = InboxHandler(bus, conversations, ports.log, process.group)
    consumer = PinnedConsumer(
        bus,
        [streams.slot_consumer(settings.region, slot) for slot in range(SLOTS)],
        on_delivery=inbox.on_delivery,
        on_release=conversations.release_slot,
        fair_share=lambda: ownership().fair_share,
    )
    peers = PeerHandlers(conversations, inbox, consumer, ownership, process.group)
    await bus.subscribe(subjects.result(process.instance), peers.on_result)
    await bus.subscribe(subjects.attach_any(settings.region), peers.on_attached)
    await bus.subscribe(subjects.CUSTOMERS, CustomerChangeHandler(customers, directory.decode).on_change)
    bus.on_reconnect.append(customers.clear)
    if keys is not None:
        erasures = ErasureHandler(conversations, escalation_queue, lambda: consumer.held)
        keys.on_erased.append(erasures.on_erased)
    # While draining, in-flight conversations are published as `finishing` so that the successors wait for them.
    process.heartbeat.vitals = lambda: Vitals(
        queue_depth=conversations.active,
        slots=consumer.held,
        finishing=conversations.finishing if process.readiness.started else conversations.in_flight,
        fleet_version=fleet_view.current.version,
        candidate_version=fleet_view.candidate_version,
        release_rollout=release_view.number,
    )
    process.spawn(fleet_view.run())
    process.spawn(release_view.run())
    process.spawn(escalation_queue.run())
    process.spawn(
        watch_overdue(conversations, escalation_queue, held_slots=lambda: consumer.held, now=process.clock.time),
    )
    sockets = CustomerSocketMonitor(escalation_queue, lambda: process.presences.alive(_INGRESS), now=process.clock.time)
    process.spawn(watch_sockets(conversations, sockets, held_slots=lambda: consumer.held))
    process.spawn(conversations.run())
    process.spawn(consumer.run())
    process.presences.on_departure = peers.on_departure
    yield
    consumer.drain()
    await conversations.finish(settings.shutdown_timeout_s)


def _actor_config(process: Process[ConversationSettings]) -> ActorConfig:
    settings = process.settings
    return ActorConfig(
        region=settings.region,
        instance=process.instance,
        timeouts=TurnTimeouts(
            agent_silence_s=settings.agent_silence_s,
            unclaimed_s=settings.unclaimed_s,
            turn_timeout_s=settings.turn_timeout_s,
        ),
        snapshot_every=settings.snapshot_every,
    )
