"""Handlers of the conversation service.

stream INBOX, by slot                      -> `InboxHandler.on_delivery`     customer messages, desk commands
result.<instance>                          -> `PeerHandlers.on_result`       results, claims, heartbeats of agents
attach.<region>.<partition>.<conversation> -> `PeerHandlers.on_attached`     an ingress holds a socket
KV CUSTOMERS                               -> `CustomerChangeHandler`         a customer's facts are read, or forgotten
KV PRESENCE                                -> `PeerHandlers.on_departure`    a conversation process stops or has died
timer, over KV DESK                        -> `watch_overdue`                escalations whose SLA has expired
timer, over KV DESK                        -> `watch_sockets`                customers in the queue who leave or return
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.delivery import Delivery, Done, Reject, settle
from trunkline_chassis.errors import BusError, TextsErasedError
from trunkline_chassis.ticks import next_tick
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, subjects
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.ids import ConversationId, InvalidIdError, partition_of, slot_of
from trunkline_protocols.presence import Presence

from trunkline_conversation.application.actor import Envelope, Overdue, SocketChanged, erased
from trunkline_conversation.application.customer_contexts import CustomerContexts
from trunkline_conversation.application.customer_socket_monitor import CustomerSocketMonitor
from trunkline_conversation.application.registry import ConversationRegistry
from trunkline_conversation.core.ownership import SlotOwnership
from trunkline_conversation.ports import EscalationQueue, InboxItem, Log, SlotConsumer

_log: Final = structlog.get_logger(__name__)
_OVERDUE_POLL_INTERVAL_S: Final = 0.5
_SOCKET_POLL_INTERVAL_S: Final = 0.5


class InboxHandler:
    """Converts messages of the inbox to envelopes for conversations."""

    def __init__(self, bus: Bus, conversations: ConversationRegistry, log: Log, tasks: asyncio.TaskGroup) -> None:
        """Settle deliveries over `bus`; run work in `tasks` that must not delay the next delivery."""
        self._bus = bus
        self._conversations = conversations
        self._inbox = log
        self._tasks = tasks

    def on_delivery(self, slot: int, delivery: Delivery) -> None:
        """Pass a delivery to its conversation; an undecodable message is dead-lettered."""
        del slot
        try:
            conversation = subjects.parse_conversation(delivery.subject).conversation
            message = codec.slot.decode(delivery.payload)
        except (InvalidIdError, codec.DecodeError) as error:
            self._tasks.create_task(self._reject(delivery, str(error)))
            return
        envelope = Envelope(
            sequence=delivery.sequence,
            message=InboxItem(delivery.sequence, message, delivery.traceparent),
            done=partial(settle, self._bus, delivery, Done()),
            dead_letter=lambda reason: settle(self._bus, delivery, Reject(reason)),
        )
        self._conversations.offer(conversation, envelope)

    async def _reject(self, delivery: Delivery, reason: str) -> None:
        """Dead-letter a message; if that fails, it is redelivered."""
        try:
            await settle(self._bus, delivery, Reject(reason))
        except BusError as error:
            _log.error("inbox.dead_letter_failed", subject=delivery.subject, error=str(error))

    def recover_undelivered(self, conversation: ConversationId, *, standing_in: bool = False) -> None:
        """Process a message of an idle conversation that was never delivered; `standing_in` if its slot is unheld.

        A slot's consumer is in the memory of the NATS servers: if most of them die within seconds, it forgets its
        pending messages, and it delivers nothing during a leader election. The stream still holds every message.
        """
        if not self._conversations.is_active(conversation):
            self._tasks.create_task(self._offer_last(conversation, standing_in=standing_in))

    async def _offer_last(self, conversation: ConversationId, *, standing_in: bool) -> None:
        """Offer the last message: earlier ones are found by the gap, and a settled one only repeats its answer."""
        try:
            item = await self._inbox.last_customer_message(conversation)
        except (BusError, codec.DecodeError) as error:
            _log.warning("inbox.recovery_failed", conversation=conversation, error=str(error))
            return
        if item is not None:
            self._conversations.offer(conversation, _unsettled(item.sequence, item), standing_in=standing_in)


class CustomerChangeHandler:
    """Handles changes of the known data about customers, by any process."""

    def __init__(self, customers: CustomerContexts, decode: Callable[[bytes], Awaitable[CustomerKnown]]) -> None:
        """Pass changes to `customers`; `decode` returns a stored value with its texts in clear."""
        self._customers = customers
        self._decode = decode

    async def on_change(self, message: Msg) -> None:
        """Take a change over; a value that cannot be decoded changes nothing."""
        if not message.data:
            self._customers.on_change(message.subject, None)
            return
        if not self._customers.holds(message.subject):
            return
        try:
            self._customers.on_change(message.subject, await self._decode(message.data))
        except codec.DecodeError as error:
            report_undecodable("customers", message.subject, error)
        except (BusError, TextsErasedError):
            # Without a readable value, nothing is known.
            self._customers.on_change(message.subject, None)


class PeerHandlers:
    """Handles messages of agents, ingresses and other conversation processes."""

    def __init__(
        self,
        conversations: ConversationRegistry,
        inbox: InboxHandler,
        consumer: SlotConsumer,
        ownership: Callable[[], SlotOwnership],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Read the division of the slots from `ownership` for every message; run takeovers in `tasks`."""
        self._conversations = conversations
        self._inbox = inbox
        self._consumer = consumer
        self._ownership = ownership
        self._tasks = tasks

    async def on_result(self, message: Msg) -> None:
        """Pass on a message of an agent; if it is undecodable, the heartbeat timeout retries its turn."""
        try:
            self._conversations.on_agent_message(codec.result.decode(message.data))
        except codec.DecodeError as error:
            report_undecodable("result", message.subject, error)

    async def on_attached(self, message: Msg) -> None:
        """Record the ingress of a socket; the owner of the slot, or its stand-in, checks for undelivered messages."""
        try:
            attached = codec.attached.decode(message.data)
            partition = subjects.parse_conversation(message.subject).partition
        except (codec.DecodeError, InvalidIdError) as error:
            report_undecodable("attach", message.subject, error)
            return
        self._conversations.on_socket_attached(attached)
        slot = slot_of(partition)
        if slot in self._consumer.held:
            self._inbox.recover_undelivered(attached.conversation)
        elif self._ownership().is_stand_in(slot):
            self._inbox.recover_undelivered(attached.conversation, standing_in=True)

    def on_departure(self, departing: Presence) -> None:
        """Take over the slots of a stopping or dead process that this process succeeds to."""
        inherited = self._ownership().inherited_from(departing)
        if inherited:
            self._tasks.create_task(self._consumer.take_over(inherited))


class ErasureHandler:
    """Handles destroyed keys of customers: their conversations here, and those in the desk's queue, end."""

    def __init__(
        self,
        conversations: ConversationRegistry,
        escalation_queue: EscalationQueue,
        held_slots: Callable[[], list[int]],
    ) -> None:
        """End the conversations of held slots that wait for a person, even if they are not in memory."""
        self._conversations = conversations
        self._escalation_queue = escalation_queue
        self._held_slots = held_slots

    def on_erased(self, key: str) -> None:
        """End the conversations of a key."""
        self._conversations.on_erased(key)
        slots = set(self._held_slots())
        for entry in self._escalation_queue.entries():
            if entry.key == key and slot_of(partition_of(entry.conversation)) in slots:
                self._conversations.offer(entry.conversation, erased())


async def watch_overdue(
    conversations: ConversationRegistry,
    escalation_queue: EscalationQueue,
    *,
    held_slots: Callable[[], list[int]],
    now: Callable[[], float],
) -> None:
    """Notify the conversations of held slots when the SLA of their escalation has expired; until cancelled."""
    while True:
        await next_tick(_OVERDUE_POLL_INTERVAL_S)
        time, slots = now(), set(held_slots())
        for entry in escalation_queue.entries():
            if entry.escalation.due_at <= time and slot_of(partition_of(entry.conversation)) in slots:
                conversations.offer(entry.conversation, _unsettled(0, Overdue()))


async def watch_sockets(
    conversations: ConversationRegistry, monitor: CustomerSocketMonitor, *, held_slots: Callable[[], list[int]]
) -> None:
    """Notify the conversations of held slots when their customer's socket is gone or back; until cancelled."""
    while True:
        await next_tick(_SOCKET_POLL_INTERVAL_S)
        for change in monitor.changes(held_slots()):
            conversations.offer(change.conversation, _unsettled(0, SocketChanged(change.gone_since)))


def _unsettled(sequence: int, message: InboxItem | Overdue | SocketChanged) -> Envelope:
    """Return an envelope for a message without a delivery, so that settling does nothing."""
    return Envelope(sequence, message, done=_no_settlement, dead_letter=_log_dead_letter)


async def _no_settlement() -> None:
    pass


async def _log_dead_letter(reason: str) -> None:
    _log.error("inbox.dead_letter_skipped", reason=reason)
