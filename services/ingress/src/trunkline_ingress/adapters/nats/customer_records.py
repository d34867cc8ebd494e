"""Everything that the streams of a region hold of one customer: by one conversation, or by reading all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import CommitStored


class NatsCustomerRecords:
    """Reads CONVERSATIONS and INBOX from their leaders, batch by batch."""

    def __init__(self, bus: Bus, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._texts = texts

    async def commits(
        self, region: str, tenant: str, customer: str, *, after: int = 0, conversation: ConversationId | None = None
    ) -> AsyncIterator[CommitStored]:
        """Yield the commits of a customer behind a sequence, of all conversations or of one, in order."""
        subject = subjects.log_any(region) if conversation is None else subjects.log_fence(region, conversation)
        # The whole field as the encoder writes it: most messages are of others, and are not decoded.
        needle = b'"customer":' + codec.encode(customer)
        async for stored in self._messages(streams.CONVERSATIONS.name, subject, after):
            if needle not in stored.payload:
                continue
            try:
                commit = codec.commit.decode(stored.payload)
                if (commit.tenant, commit.customer) == (tenant, customer):
                    yield CommitStored(sequence=stored.seq, commit=await self._texts.decrypt_or_erase(commit))
            except codec.DecodeError as error:
                report_undecodable("log", stored.subject, error, sequence=stored.seq)

    async def ratings(self, region: str, conversations: set[ConversationId]) -> AsyncIterator[FeedbackGiven]:
        """Yield the ratings of conversations, in order, from the whole inbox."""
        async for _, rating in self._ratings(subjects.inbox_any(region)):
            if rating.conversation in conversations:
                yield rating

    async def ratings_of(self, region: str, conversation: ConversationId) -> AsyncIterator[tuple[int, FeedbackGiven]]:
        """Yield the ratings of one conversation, each with its sequence, from its part of the inbox."""
        async for sequence, rating in self._ratings(subjects.inbox(region, conversation)):
            yield sequence, rating

    async def _ratings(self, subject: str) -> AsyncIterator[tuple[int, FeedbackGiven]]:
        async for stored in self._messages(streams.INBOX.name, subject):
            if b'"feedback.given"' not in stored.payload:
                continue
            try:
                message = codec.inbox.decode(stored.payload)
                if isinstance(message, FeedbackGiven):
                    yield stored.seq, await self._texts.decrypt_or_erase(message)
            except codec.DecodeError as error:
                report_undecodable("inbox", stored.subject, error, sequence=stored.seq)

    async def _messages(self, stream: str, subject_filter: str, after: int = 0) -> AsyncIterator[StreamMessage]:
        async for batch in self._bus.read_batches(stream, subject_filter, after):
            for stored in batch:
                yield stored
