"""Purges of archived conversations from INBOX, CONVERSATIONS and SNAPSHOTS, and the legal holds in HOLDS.

Every message is read and compared before it is purged, and none is purged that a consumer has not acknowledged: a
slot's consumer, which hands it to a conversation process, or the one of audit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from trunkline_chassis.bus import CONSUMER_NOT_FOUND, Bus
from trunkline_chassis.errors import BusRefusedError
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.holds import HoldMessage
from trunkline_protocols.ids import ConversationId, partition_of, slot_of

from trunkline_audit.core.retention.trimming import StoredKey, purge_before
from trunkline_audit.ports import TrimOutcome

_INBOX: Final = streams.INBOX.name
_LOG: Final = streams.CONVERSATIONS.name
_SNAPSHOTS: Final = f"KV_{streams.SNAPSHOTS.name}"
_PURGE_TIMEOUT_S: Final = 30.0


class JetStreamTrimmer:
    """The streams of one region."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process, for one run; holds are those of `region`."""
        self._bus = bus
        self._region = region
        self._floors: dict[tuple[str, str], int] = {}

    async def trim(self, region: str, conversation: str, stored: frozenset[StoredKey]) -> TrimOutcome:
        """Purge the messages of a conversation that an archive has, except the last commit."""
        name = ConversationId(conversation)
        has_inbox = any(key.stream == _INBOX for key in stored)
        has_log = any(key.stream == _LOG for key in stored)
        is_done = True
        if has_inbox:
            floor = await self._inbox_floor(region, name)
            for subject in (subjects.inbox(region, name), subjects.desk(region, name)):
                is_done &= await self._purge(_INBOX, subject, stored, floor=floor)
        if has_log:
            floor = await self._floor(_LOG, streams.audit_consumer(streams.CONVERSATIONS).name)
            log = subjects.log_fence(region, name)
            is_done &= await self._purge(_LOG, log, stored, floor=floor, keep_last=True)
            await self._purge_subject(_SNAPSHOTS, subjects.snapshot(name))
        return "trimmed" if is_done else "waiting"

    async def purge_marker(self, region: str, conversation: str, stored: frozenset[StoredKey]) -> TrimOutcome:
        """Purge the last commit too, if an archive has it."""
        floor = await self._floor(_LOG, streams.audit_consumer(streams.CONVERSATIONS).name)
        log = subjects.log_fence(region, ConversationId(conversation))
        return "trimmed" if await self._purge(_LOG, log, stored, floor=floor) else "waiting"

    async def holds(self) -> Sequence[HoldMessage]:
        """Read the holds and releases; raises `DecodeError` if one cannot be read."""
        found = await self._bus.read_messages(streams.HOLDS.name, subjects.hold_any(self._region))
        return [codec.hold.decode(message.payload) for message in found]

    async def _purge(
        self, stream: str, subject: str, stored: frozenset[StoredKey], *, floor: int, keep_last: bool = False
    ) -> bool:
        """Purge archived messages; return whether only the last one is left."""
        messages = [
            StoredKey(stream, message.seq, hashlib.sha256(message.payload).digest())
            for message in await self._bus.read_messages(stream, subject)
        ]
        before = purge_before(messages, stored, floor=floor, keep_last=keep_last)
        if before:
            await self._purge_subject(stream, subject, before=before)
        left = [message for message in (messages[:-1] if keep_last else messages) if message.sequence >= before]
        return not any(message in stored for message in left)

    async def _purge_subject(self, stream: str, subject: str, *, before: int = 0) -> None:
        request: dict[str, object] = {"filter": subject} | ({"seq": before} if before else {})
        await self._bus.api(f"STREAM.PURGE.{stream}", request, timeout_s=_PURGE_TIMEOUT_S)

    async def _inbox_floor(self, region: str, conversation: ConversationId) -> int:
        slot = streams.slot_consumer(region, slot_of(partition_of(conversation)))
        audit = streams.audit_consumer(streams.INBOX)
        return min(await self._floor(_INBOX, slot.name), await self._floor(_INBOX, audit.name))

    async def _floor(self, stream: str, consumer: str) -> int:
        """Return the sequence up to which a consumer had acknowledged everything, 0 if it does not exist.

        It only rises, so that one question per run suffices.
        """
        if (stream, consumer) not in self._floors:
            try:
                state = await self._bus.api(f"CONSUMER.INFO.{stream}.{consumer}")
            except BusRefusedError as error:
                if error.code != CONSUMER_NOT_FOUND:
                    raise
                state = {"ack_floor": {"stream_seq": 0}}
            self._floors[stream, consumer] = state["ack_floor"]["stream_seq"]
        return self._floors[stream, consumer]
