"""The ends of the streams CONVERSATIONS and INBOX, over all conversations of a region."""

from __future__ import annotations

from typing import TypeVar

from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.log import Commit

from trunkline_ingress.ports import RecentMessages

T = TypeVar("T")


class NatsRecentRecords:
    """Reads the streams on JetStream, with a bound."""

    def __init__(self, bus: Bus, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._texts = texts

    async def commits(self, region: str, *, after: int, limit: int) -> RecentMessages[Commit]:
        """Read the last commits."""
        end, found = await self._read(streams.CONVERSATIONS.name, subjects.log_any(region), after, limit)
        return RecentMessages(
            end, [await self._texts.decrypt_or_erase(each) for each in _decodable(found, codec.commit)]
        )

    async def ratings(self, region: str, *, after: int, limit: int) -> RecentMessages[FeedbackGiven]:
        """Read the last messages of customers, and return the ratings among them."""
        end, found = await self._read(streams.INBOX.name, subjects.inbox_any(region), after, limit)
        messages = _decodable(found, codec.inbox)
        ratings = [message for message in messages if isinstance(message, FeedbackGiven)]
        return RecentMessages(end, [await self._texts.decrypt_or_erase(rating) for rating in ratings])

    async def _read(self, stream: str, subject_filter: str, after: int, limit: int) -> tuple[int, list[StreamMessage]]:
        last = await self._bus.last_message(stream, subject_filter)
        if last is None or last.seq <= after:
            return after, []
        found = await self._bus.read_messages(stream, subject_filter, after=max(after, last.seq - limit))
        return max(after, *(message.seq for message in found), 0), found


def _decodable(found: list[StreamMessage], decoder: codec.Decoder[T]) -> list[T]:
    messages = []
    for stored in found:
        try:
            messages.append(decoder.decode(stored.payload))
        except codec.DecodeError as error:
            report_undecodable("review", stored.subject, error)
    return messages
