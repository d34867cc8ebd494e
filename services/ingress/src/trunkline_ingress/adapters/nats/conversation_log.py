"""Stream CONVERSATIONS: the log of commits, read from the stream's leader."""

from __future__ import annotations

from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import CommitStored

_STREAM = streams.CONVERSATIONS.name


class NatsConversationLog:
    """Conversation log on JetStream."""

    def __init__(self, bus: Bus, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._texts = texts

    async def commits(self, region: str, conversation: ConversationId, *, after: int) -> list[CommitStored]:
        """Read the conversation's commits after a log sequence."""
        found = await self._bus.read_messages(_STREAM, subjects.log_fence(region, conversation), after=after)
        return [await self._decode(stored) for stored in found]

    async def last_commit(self, region: str, conversation: ConversationId) -> CommitStored | None:
        """Read the conversation's last commit."""
        last = await self._bus.last_message(_STREAM, subjects.log_fence(region, conversation))
        return await self._decode(last) if last is not None else None

    async def commit_at(self, sequence: int) -> CommitStored | None:
        """Read the commit at a log sequence."""
        found = await self._bus.get_message(_STREAM, sequence)
        return await self._decode(found) if found is not None else None

    async def _decode(self, stored: StreamMessage) -> CommitStored:
        commit = await self._texts.decrypt_or_erase(codec.commit.decode(stored.payload))
        return CommitStored(sequence=stored.seq, commit=commit)
