"""Wiring of the conversation service."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.msg import Msg
from trunkline_chassis.fleet_view import follow_fleet
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.kv_view import KvView
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.pinned_consumer import PinnedConsumer
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import SLOTS, ConversationId
from trunkline_protocols.presence import Presence

from trunkline_conversation import handlers
from trunkline_conversation.adapters.jetstream import JetStreamLog, NatsOutside
from trunkline_conversation.application.actor import ConversationActor
from trunkline_conversation.application.dispatch import TurnTimeouts
from trunkline_conversation.application.environment import EnvironmentReader
from trunkline_conversation.application.registry import ConversationRegistry
from trunkline_conversation.settings import ConversationSettings

NAME = "conversation"


@asynccontextmanager
async def service(process: Process[ConversationSettings]) -> AsyncIterator[None]:
    """Answer the inbox of the slots that this process gets."""
    settings, bus = process.settings, process.bus
    fleets = await follow_fleet(bus)
    waiting = KvView(bus, streams.DESK.name, codec.waiting)
    await waiting.start()
    lookout = EnvironmentReader(fleets, process.presences, waiting)
    log = JetStreamLog(bus, settings.region)
    outside = NatsOutside(bus)
    patience = TurnTimeouts(
        agent_silence_s=settings.agent_silence_s,
        unclaimed_s=settings.unclaimed_s,
        turn_timeout_s=settings.turn_timeout_s,
    )

    def create(conversation: ConversationId) -> ConversationActor:
        return ConversationActor(
            conversation,
            region=settings.region,
            instance=process.instance,
            log=log,
            outside=outside,
            environment=lookout.environment,
            patience=patience,
            snapshot_every=settings.snapshot_every,
        )

    def sharers() -> list[str]:
        ready = {presence.instance for presence in process.presences.alive(NAME) if presence.state == "ready"}
        return sorted(ready | {process.instance})

    def fair_share() -> int:
        return math.ceil(SLOTS / len(sharers()))

    def stands_in(slot: int) -> bool:
        held = {
            taken for presence in process.presences.alive(NAME) if presence.state == "ready" for taken in presence.slots
        }
        heirs = sharers()
        return slot not in held and heirs[slot % len(heirs)] == process.instance

    def on_departure(presence: Presence) -> None:
        if presence.service == NAME and presence.instance != process.instance and presence.slots:
            heirs = sharers()
            ours = [slot for slot in presence.slots if heirs[slot % len(heirs)] == process.instance]
            process.group.create_task(puller.take_over(ours))

    def finished_elsewhere(conversation: ConversationId) -> bool:
        return any(
            conversation in presence.finishing and presence.instance != process.instance
            for presence in process.presences.alive(NAME)
        )

    conversations = ConversationRegistry(
        create,
        finished_elsewhere=finished_elsewhere,
        on_let_go=process.heartbeat.publish_soon,
        budget_bytes=settings.memory_budget_mib * 2**20,
        latency=process.latency,
    )
    inbox = handlers.Inbox(bus, conversations, process.group)
    puller = PinnedConsumer(
        bus,
        [streams.slot_consumer(settings.region, slot) for slot in range(SLOTS)],
        on_delivery=inbox.deliver,
        on_release=conversations.release_slot,
        fair_share=fair_share,
    )

    async def on_result(message: Msg) -> None:
        handlers.on_result(conversations, message)

    async def on_attached(message: Msg) -> None:
        handlers.on_attached(conversations, inbox, lambda: puller.held, stands_in, message)

    await bus.subscribe(subjects.result(process.instance), on_result)
    await bus.subscribe(subjects.attach_any(settings.region), on_attached)
    # Told with the news that it stops: the heirs act on that at once.
    process.heartbeat.vitals = lambda: Vitals(
        queue_depth=conversations.active,
        slots=puller.held,
        finishing=conversations.finishing if process.readiness.started else conversations.under_way,
        fleet_version=fleets.current.version,
    )
    process.spawn(fleets.run())
    process.spawn(waiting.run())
    process.spawn(handlers.watch_overdue(conversations, waiting, lambda: puller.held))
    process.spawn(conversations.run())
    process.spawn(puller.run())
    process.presences.on_departure = on_departure
    yield
    puller.drain()
    await conversations.finish(settings.shutdown_timeout_s)
