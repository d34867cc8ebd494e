"""Conversations of a customer, requested from the audit service."""

from __future__ import annotations

import hashlib
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.archives import ConversationsListed, ListConversations
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.refusal import Refused

from trunkline_ingress.operator_ports import CustomerConversations

_TIMEOUT_S: Final = 20.0
_MAX_PAGES: Final = 500
"""Of 2,000 conversations each."""


class NatsCustomerIndex:
    """The index of one region."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._region = region

    async def conversations(self, tenant: str, customer: str) -> CustomerConversations:
        """Request all pages; raises `BusUnavailableError` with the reason if the index cannot be used."""
        names: list[ConversationId] = []
        recorded: int | None = None
        for _ in range(_MAX_PAGES):
            after = names[-1] if names else ""
            page = await self._request(ListConversations(tenant=tenant, customer=customer, after=after))
            names += [ConversationId(name) for name in page.conversations]
            # That of the first page: everything behind it is read from the stream.
            if recorded is None:
                await self._check(page)
                recorded = page.recorded
            if not page.has_more or not page.conversations:
                return CustomerConversations(names, recorded)
        raise BusUnavailableError("the audit trail lists too many conversations")

    async def _request(self, request: ListConversations) -> ConversationsListed:
        raw = await self._bus.request(
            subjects.list_conversations(self._region), codec.encode(request), timeout_s=_TIMEOUT_S
        )
        reply = codec.list_reply.decode(raw)
        if isinstance(reply, Refused):
            raise BusUnavailableError(f"the audit trail cannot be read: {reply.message}")
        return reply

    async def _check(self, page: ConversationsListed) -> None:
        """Raise `BusUnavailableError` if the index is not one of the log as it is now, or not a complete one."""
        if page.skipped:
            raise BusUnavailableError(f"the audit trail lacks {page.skipped} commits that PostgreSQL refused")
        if not page.recorded:
            return
        name = streams.CONVERSATIONS.name
        state = (await self._bus.api(f"STREAM.INFO.{name}"))["state"]
        stored = await self._bus.get_message(name, page.recorded)
        is_other = stored is not None and hashlib.sha256(stored.payload).hexdigest() != page.sha256
        if state["last_seq"] < page.recorded or is_other:
            raise BusUnavailableError("the audit trail is that of an earlier stream")
