"""Everything that the streams of a region hold of one customer, found by reading them once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import CommitStored


class NatsCustomerRecords:
    """Reads CONVERSATIONS and INBOX from their leaders, batch by batch."""

    def __init__(self, bus: Bus, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._texts = texts

    async def commits(self, region: str, tenant: str, customer: str) -> AsyncIterator[CommitStored]:
        """Yield the commits of all conversations of a customer, by the id, in order."""
        # The whole field as the encoder writes it: most messages are of others, and are not decoded.
        needle = b'"customer":' + codec.encode(customer)
        async for stored in self._messages(streams.CONVERSATIONS.name, subjects.log_any(region)):
            if needle not in stored.payload:
                continue
            try:
                commit = codec.commit.decode(stored.payload)
                if (commit.tenant, commit.customer) == (tenant, customer):
                    yield CommitStored(sequence=stored.seq, commit=await self._texts.decrypt_or_erase(commit))
            except codec.DecodeError as error:
                report_undecodable("log", stored.subject, error, sequence=stored.seq)

    async def ratings(self, region: str, conversations: set[str]) -> AsyncIterator[FeedbackGiven]:
        """Yield the ratings of conversations, in order."""
        async for stored in self._messages(streams.INBOX.name, subjects.inbox_any(region)):
            if b'"feedback.given"' not in stored.payload:
                continue
            try:
                message = codec.inbox.decode(stored.payload)
                if isinstance(message, FeedbackGiven) and message.conversation in conversations:
                    yield await self._texts.decrypt_or_erase(message)
            except codec.DecodeError as error:
                report_undecodable("inbox", stored.subject, error, sequence=stored.seq)

    async def _messages(self, stream: str, subject_filter: str) -> AsyncIterator[StreamMessage]:
        async for batch in self._bus.read_batches(stream, subject_filter):
            for stored in batch:
                yield stored
