"""The line on NATS."""

from __future__ import annotations

from trunkline_chassis.bus import Appended, Bus
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import CommitStored
from trunkline_protocols.turn import Attached, InboxMessage


class NatsLine:
    """Inbox and log on JetStream, announcements on core NATS."""

    def __init__(self, bus: Bus) -> None:
        """Use one connection for all."""
        self._bus = bus

    async def store(
        self, region: str, conversation: ConversationId, message: InboxMessage, *, message_id: str
    ) -> Appended:
        """Append to the inbox behind the conversation's last message."""
        subject = subjects.inbox(region, conversation)
        return await self._bus.append(
            subject,
            codec.encode(message),
            message_id=f"{conversation}-{message_id}",
            fence=(subject, message.previous),
        )

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read from the leader of the log."""
        found = await self._bus.read(streams.CONVERSATIONS.name, subjects.log_fence(region, conversation), after=after)
        return [CommitStored(sequence=stored.seq, commit=codec.commit.decode(stored.payload)) for stored in found]

    async def inbox(
        self, region: str, conversation: ConversationId, *, after: int
    ) -> list[tuple[str, int, InboxMessage]]:
        """Read from the leader of the inbox."""
        found = await self._bus.read(streams.INBOX.name, subjects.inbox(region, conversation), after=after)
        return [(stored.subject, stored.seq, codec.inbox.decode(stored.payload)) for stored in found]

    async def announce(self, region: str, attached: Attached) -> None:
        """Publish to the conversation's process and to the other ingresses."""
        await self._bus.publish(subjects.attach(region, attached.conversation), codec.encode(attached))
