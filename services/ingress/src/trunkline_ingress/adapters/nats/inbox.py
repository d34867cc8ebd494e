"""Stream INBOX: messages of customers, and the stored commands of the desk."""

from __future__ import annotations

import contextlib
from typing import TypeVar

from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.errors import BusError, BusUnavailableError, FenceError
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.desk import SlotMessage
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import InboxMessage
from trunkline_protocols.texts import StoredTexts

from trunkline_ingress.core.trace import InboxEntry
from trunkline_ingress.ports import InboxPosition, UnsettledMessages

_STREAM = streams.INBOX.name

T = TypeVar("T")


class NatsInbox:
    """Inbox on JetStream, read from the stream's leader."""

    def __init__(self, bus: Bus, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._texts = texts

    async def append(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> InboxPosition:
        """Append behind the conversation's last message.

        A retry by the bus after a lost acknowledgement meets its own message; that is neither conflict nor duplicate.
        Without any acknowledgement, the stream shows whether the message was stored.
        """
        subject = subjects.inbox(region, conversation)
        stored = await self._texts.encrypt(message) if isinstance(message, StoredTexts) else message
        payload = codec.encode(stored)
        position: InboxPosition | None = None
        failure: BusError = FenceError("another ingress has appended to this conversation")
        try:
            appended = await self._bus.append(
                subject, payload, message_id=f"{conversation}-{message_id}", fence=(subject, message.previous)
            )
        except FenceError:
            pass
        except BusUnavailableError as error:
            failure = error
        else:
            position = InboxPosition(appended.seq, appended.duplicate)
            if not position.duplicate:
                return position
        last = await self._bus.last_message(_STREAM, subject)
        if last is not None and last.payload == payload:
            return InboxPosition(last.seq)
        if position is None:
            raise failure
        return position

    async def unsettled(self, region: str, conversation: ConversationId, *, after: int) -> UnsettledMessages:
        """Read the messages after a sequence; one request if there is at most one."""
        subject = subjects.inbox(region, conversation)
        last = await self._bus.last_message(_STREAM, subject)
        if last is None or last.seq <= after:
            return UnsettledMessages(last.seq if last is not None else 0, [])
        found = _decodable([last], codec.inbox)
        if not found or found[0][1].previous > after:
            # The end stays that of the first read: if a message arrives in between, the next append meets the fence.
            found = _decodable(await self._bus.read_messages(_STREAM, subject, after=after), codec.inbox)
        return UnsettledMessages(last.seq, [(stored.seq, message) for stored, message in found])

    async def contains(self, region: str, conversation: ConversationId) -> bool:
        """Read the conversation's last message."""
        return await self._bus.last_message(_STREAM, subjects.inbox(region, conversation)) is not None

    async def messages(self, region: str, conversation: ConversationId) -> list[InboxEntry]:
        """Read the customer's messages."""
        found = await self._bus.read_messages(_STREAM, subjects.inbox(region, conversation))
        return [await self._entry(stored, message) for stored, message in _decodable(found, codec.inbox)]

    async def desk_commands(self, region: str, conversation: ConversationId) -> list[InboxEntry]:
        """Read the commands of people at the desk."""
        found = await self._bus.read_messages(_STREAM, subjects.desk(region, conversation))
        return [await self._entry(stored, message) for stored, message in _decodable(found, codec.desk)]

    async def _entry(self, stored: StreamMessage, message: SlotMessage) -> InboxEntry:
        readable = await self._texts.decrypt_or_erase(message) if isinstance(message, StoredTexts) else message
        return InboxEntry(stored.subject, stored.seq, readable)


def _decodable(found: list[StreamMessage], decoder: codec.Decoder[T]) -> list[tuple[StreamMessage, T]]:
    """Decode messages; skip an undecodable one, which the conversation service dead-letters."""
    messages = []
    for stored in found:
        with contextlib.suppress(codec.DecodeError):
            messages.append((stored, decoder.decode(stored.payload)))
    return messages
