"""Proofs of a conversation's records, requested from the audit service, and the hashes of the stored bytes."""

from __future__ import annotations

import hashlib
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.archives import ProvenRecord, ProveRecords, SignedHead
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.refusal import Refused

from trunkline_ingress.core.trace import ProvenRecords, RecordKey

_TIMEOUT_S: Final = 5.0
_MAX_PAGES: Final = 50
"""Of 500 records each: far beyond any conversation."""


class NatsRecordProofs:
    """The tree of records of one region."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._region = region

    async def prove(self, conversation: ConversationId) -> ProvenRecords:
        """Request all pages; raises `BusUnavailableError` with the reason if that fails."""
        head: SignedHead | None = None
        records: list[ProvenRecord] = []
        for _ in range(_MAX_PAGES):
            request = ProveRecords(conversation=conversation, after=records[-1].leaf if records else -1)
            raw = await self._bus.request(
                subjects.prove_records(self._region), codec.encode(request), timeout_s=_TIMEOUT_S
            )
            reply = codec.proof_reply.decode(raw)
            if isinstance(reply, Refused):
                raise BusUnavailableError(f"the audit trail cannot be read: {reply.message}")
            head = reply.head
            records += reply.records
            if reply.faults or not reply.has_more or not reply.records:
                return ProvenRecords(head, records, reply.faults)
        return ProvenRecords(head, records, ())

    async def hashes(self, region: str, conversation: ConversationId) -> dict[RecordKey, str]:
        """Read the bytes of a conversation's messages again and return their SHA-256 in hex."""
        filters = (
            (streams.INBOX.name, subjects.inbox(region, conversation)),
            (streams.INBOX.name, subjects.desk(region, conversation)),
            (streams.CONVERSATIONS.name, subjects.log_fence(region, conversation)),
            (streams.VIEWS.name, subjects.view(region, conversation)),
        )
        found: dict[RecordKey, str] = {}
        for stream, filter_ in filters:
            async for batch in self._bus.read_batches(stream, filter_):
                for stored in batch:
                    found[RecordKey(stream, stored.seq)] = hashlib.sha256(stored.payload).hexdigest()
        return found
