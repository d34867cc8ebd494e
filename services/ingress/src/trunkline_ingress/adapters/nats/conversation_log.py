"""Stream CONVERSATIONS: the log of commits, read from the stream's leader."""

from __future__ import annotations

from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import CommitStored

_STREAM = streams.CONVERSATIONS.name


class NatsConversationLog:
    """Conversation log on JetStream."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read the conversation's commits after a log sequence."""
        found = await self._bus.read_messages(_STREAM, subjects.log_fence(region, conversation), after=after)
        return [_decode(stored) for stored in found]

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        """Read the conversation's last commit."""
        last = await self._bus.last_message(_STREAM, subjects.log_fence(region, conversation))
        return _decode(last) if last is not None else None

    async def commit_at(self, sequence: int) -> CommitStored | None:
        """Read the commit at a log sequence."""
        found = await self._bus.get_message(_STREAM, sequence)
        return _decode(found) if found is not None else None


def _decode(stored: StreamMessage) -> CommitStored:
    return CommitStored(sequence=stored.seq, commit=codec.commit.decode(stored.payload))
