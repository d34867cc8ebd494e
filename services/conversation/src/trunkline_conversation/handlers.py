"""What comes in, and who handles it.

stream INBOX, by slot                      -> `Inbox.deliver`       a customer's message, an order of the desk
result.<instance>                          -> `on_result`           results, claims and beats of agents
attach.<region>.<partition>.<conversation> -> `on_attached`         an ingress took a socket over
the clock, over KV DESK                    -> `watch_overdue`       an escalation whose time has run out
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.delivery import Delivery, Done, Reject, settle
from trunkline_chassis.errors import BusError
from trunkline_chassis.kv_view import KvView
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, InvalidIdError, partition_of, slot_of

from trunkline_conversation.application.actor import Envelope, Overdue
from trunkline_conversation.application.registry import ConversationRegistry
from trunkline_conversation.ports import InboxItem

_log: Final = structlog.get_logger(__name__)
_CLOCK_S: Final = 0.5


class Inbox:
    """Turns deliveries of the inbox into envelopes for conversations."""

    def __init__(self, bus: Bus, conversations: ConversationRegistry, tasks: asyncio.TaskGroup) -> None:
        """`tasks` runs what must not hold up the next delivery."""
        self._bus = bus
        self._conversations = conversations
        self._tasks = tasks

    def deliver(self, slot: int, delivery: Delivery) -> None:
        """Hand over one delivery; a message that cannot be read becomes a dead letter and blocks nobody."""
        del slot
        try:
            conversation = subjects.parse_conversation(delivery.subject).conversation
            message = codec.slot.decode(delivery.payload)
        except (InvalidIdError, codec.DecodeError) as error:
            self._tasks.create_task(settle(self._bus, delivery, Reject(str(error))))
            return
        envelope = Envelope(
            sequence=delivery.sequence,
            message=InboxItem(delivery.sequence, message),
            done=partial(settle, self._bus, delivery, Done()),
            dead_letter=lambda reason: settle(self._bus, delivery, Reject(reason)),
        )
        self._conversations.offer(conversation, envelope)

    def look_for_lost(self, conversation: ConversationId, region: str, *, standing_in: bool = False) -> None:
        """Look whether a message of this conversation was never delivered.

        A slot's consumer lives in the memory of the servers: when most of them die within seconds, it forgets what was
        under way, and while its leader is elected it delivers nothing. The stream has everything, and the ingress says
        which customer waits. `standing_in`: nobody holds the slot.
        """
        if not self._conversations.is_active(conversation):
            self._tasks.create_task(self._offer_last(conversation, region, standing_in=standing_in))

    async def _offer_last(self, conversation: ConversationId, region: str, *, standing_in: bool) -> None:
        """Hand over the last message: those before it are found by their gap, and what is answered is told again."""
        try:
            last = await self._bus.last_message(streams.INBOX.name, subjects.inbox(region, conversation))
            if last is None:
                return
            item = InboxItem(last.seq, codec.slot.decode(last.payload))
        except (BusError, codec.DecodeError) as error:
            _log.warning("inbox.not_looked", conversation=conversation, error=str(error))
            return
        envelope = Envelope(last.seq, item, done=_nothing, dead_letter=_log_only)
        self._conversations.offer(conversation, envelope, standing_in=standing_in)


def on_result(conversations: ConversationRegistry, message: Msg) -> None:
    """Handle what an agent says; what cannot be read is logged, its turn is tried again by silence."""
    try:
        conversations.on_agent_message(codec.result.decode(message.data))
    except codec.DecodeError as error:
        _log.error("result.unreadable", subject=message.subject, error=str(error))


def on_attached(
    conversations: ConversationRegistry,
    inbox: Inbox,
    held: Callable[[], list[int]],
    stands_in: Callable[[int], bool],
    message: Msg,
) -> None:
    """Handle an ingress' announcement; who holds the slot, or stands in, also looks whether an answer is due."""
    try:
        attached = codec.attached.decode(message.data)
        region, partition, *_ = subjects.parse_conversation(message.subject)
    except (codec.DecodeError, InvalidIdError) as error:
        _log.error("attach.unreadable", subject=message.subject, error=str(error))
        return
    conversations.attach(attached)
    slot = slot_of(partition)
    if slot in held():
        inbox.look_for_lost(attached.conversation, region)
    elif stands_in(slot):
        inbox.look_for_lost(attached.conversation, region, standing_in=True)


async def watch_overdue(
    conversations: ConversationRegistry, waiting: KvView[EscalationWaiting], held: Callable[[], list[int]]
) -> None:
    """Tell the conversations of our slots when the time of their escalation has run out; until cancelled."""
    while True:
        await asyncio.sleep(_CLOCK_S)
        now, slots = time.time(), set(held())
        for entry in list(waiting.values.values()):
            if entry.escalation.due_at <= now and slot_of(partition_of(entry.conversation)) in slots:
                conversations.offer(entry.conversation, Envelope(0, Overdue(), done=_nothing, dead_letter=_log_only))


async def _nothing() -> None:
    pass


async def _log_only(reason: str) -> None:
    _log.error("inbox.not_settled", reason=reason)
