"""The line, the desk and the knowledge base, on NATS."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Final

import nats.errors
from trunkline_chassis.bus import AppendResult, Bus, StreamMessage
from trunkline_chassis.errors import BusUnavailableError, FenceError
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.completion import CancelCompletion
from trunkline_protocols.desk import DeskMessage, DeskOutcome
from trunkline_protocols.ids import ConversationId, TurnId
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.knowledge import KnowledgeReply, KnowledgeRequest
from trunkline_protocols.log import CommitStored
from trunkline_protocols.turn import SocketAttached

from trunkline_ingress.ports import Unsettled

_OUTCOME_TIMEOUT_S: Final = 10.0
_ORDER_TRIES: Final = 5
_QUESTION_TIMEOUT_S: Final = 5.0


class NatsLine:
    """Inbox and log on JetStream, announcements on core NATS."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use one connection for all. `region` is where this process and its gateways are."""
        self._bus = bus
        self._region = region

    async def store(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> AppendResult:
        """Append to the inbox behind the conversation's last message.

        The bus tries again where an answer was lost, and then meets what it has stored itself: that is no conflict.
        """
        subject = subjects.inbox(region, conversation)
        payload = codec.encode(message)
        try:
            stored = await self._bus.append(
                subject, payload, message_id=f"{conversation}-{message_id}", fence=(subject, message.previous)
            )
            if not stored.duplicate:
                return stored
        except FenceError:
            stored = None
        last = await self._bus.last_message(streams.INBOX.name, subject)
        if last is not None and last.payload == payload:
            return AppendResult(last.seq)
        if stored is None:
            raise FenceError("somebody else stored a message of this conversation")
        return stored

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read from the leader of the log."""
        found = await self._bus.read_messages(
            streams.CONVERSATIONS.name, subjects.log_fence(region, conversation), after=after
        )
        return [_stored_commit(stored) for stored in found]

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        """Read from the leader of the log."""
        last = await self._bus.last_message(streams.CONVERSATIONS.name, subjects.log_fence(region, conversation))
        return _stored_commit(last) if last is not None else None

    async def commit_at(self, sequence: int) -> CommitStored | None:
        """Read from the leader of the log."""
        found = await self._bus.get_message(streams.CONVERSATIONS.name, sequence)
        return _stored_commit(found) if found is not None else None

    async def inbox(
        self, region: str, conversation: ConversationId, *, after: int
    ) -> list[tuple[str, int, InboxMessage]]:
        """Read from the leader of the inbox."""
        found = await self._bus.read_messages(streams.INBOX.name, subjects.inbox(region, conversation), after=after)
        return [(stored.subject, stored.seq, message) for stored, message in _readable(found)]

    async def unsettled(self, region: str, conversation: ConversationId, *, after: int) -> Unsettled:
        """Read from the leader of the inbox: one request where nothing or a single message is unsettled."""
        subject = subjects.inbox(region, conversation)
        last = await self._bus.last_message(streams.INBOX.name, subject)
        if last is None or last.seq <= after:
            return Unsettled(last.seq if last is not None else 0, [])
        found = _readable([last])
        if not found or found[0][1].previous > after:
            # The end is that of before this read: a message that comes in between meets the fence.
            found = _readable(await self._bus.read_messages(streams.INBOX.name, subject, after=after))
        return Unsettled(last.seq, [(stored.seq, message) for stored, message in found])

    async def desk(self, region: str, conversation: ConversationId) -> list[tuple[str, int, DeskMessage]]:
        """Read from the leader of the inbox."""
        found = await self._bus.read_messages(streams.INBOX.name, subjects.desk(region, conversation))
        return [(stored.subject, stored.seq, codec.desk.decode(stored.payload)) for stored in found]

    async def abandon(self, turn: TurnId) -> None:
        """Publish to all gateways."""
        cancel = CancelCompletion(turn=turn, reason="the customer has ended the conversation")
        with contextlib.suppress(BusUnavailableError):
            await self._bus.publish(subjects.cancel_completion(self._region), codec.encode(cancel))

    async def announce(self, region: str, attached: SocketAttached) -> None:
        """Publish to the conversation's process and to the other ingresses."""
        await self._bus.publish(subjects.attach(region, attached.conversation), codec.encode(attached))


def _stored_commit(stored: StreamMessage) -> CommitStored:
    return CommitStored(sequence=stored.seq, commit=codec.commit.decode(stored.payload))


def _readable(found: list[StreamMessage]) -> list[tuple[StreamMessage, InboxMessage]]:
    """Decode messages; what cannot be read is a dead letter already, and no reason to end the conversation."""
    messages = []
    for stored in found:
        with contextlib.suppress(codec.DecodeError):
            messages.append((stored, codec.inbox.decode(stored.payload)))
    return messages


class DeskLine:
    """Orders of people, stored in the inbox beside what customers say, and what became of them."""

    def __init__(self, bus: Bus) -> None:
        """Use one connection for all."""
        self._bus = bus

    async def order(self, region: str, conversation: ConversationId, make: Callable[..., DeskMessage]) -> DeskOutcome:
        """Store an order behind the conversation's order before, and wait for what becomes of it."""
        subject = subjects.desk(region, conversation)
        inbox = self._bus.client.new_inbox()
        subscription = await self._bus.client.subscribe(inbox, max_msgs=1)
        try:
            for _ in range(_ORDER_TRIES):
                last = await self._bus.last_message(streams.INBOX.name, subject)
                previous = last.seq if last is not None else 0
                order = make(conversation=conversation, previous=previous, at=time.time(), reply_to=inbox)
                try:
                    await self._bus.append(
                        subject,
                        codec.encode(order),
                        message_id=f"{conversation}-desk-{secrets.token_hex(8)}",
                        fence=(subject, previous),
                    )
                except FenceError:
                    continue
                return codec.desk_outcome.decode((await subscription.next_msg(timeout=_OUTCOME_TIMEOUT_S)).data)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError("nothing is heard of the order; look at the conversation again") from error
        finally:
            await subscription.unsubscribe()
        raise BusUnavailableError("others order things in this conversation all the time")


class KnowledgeBase:
    """Questions to the knowledge service."""

    def __init__(self, bus: Bus) -> None:
        """Use one connection for all."""
        self._bus = bus

    async def ask(
        self, subject: str, question: KnowledgeRequest, *, timeout_s: float = _QUESTION_TIMEOUT_S
    ) -> KnowledgeReply:
        """Ask over core NATS."""
        return codec.knowledge_reply.decode(
            await self._bus.request(subject, codec.encode(question), timeout_s=timeout_s)
        )
