"""Customers in KV CUSTOMERS, and the agents that read facts about them."""

from __future__ import annotations

from typing import Final

import structlog
from msgspec.structs import replace
from trunkline_chassis.bus import Bus
from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_chassis.errors import BusError, TextsErasedError
from trunkline_chassis.logs import reason_of
from trunkline_chassis.texts import NO_KEYS, Texts
from trunkline_protocols import codec, subjects
from trunkline_protocols.context import Utterance
from trunkline_protocols.customers import CustomerKnown, ReadCustomer
from trunkline_protocols.ids import ConversationId

_log: Final = structlog.get_logger(__name__)


class NatsCustomerDirectory:
    """Implements the port `CustomerDirectory`."""

    def __init__(self, bus: Bus, region: str, texts: Texts = NO_KEYS) -> None:
        """Request readings from the agents of `region`; use the keys of customers, of which it creates none."""
        self._bus = bus
        self._region = region
        self._texts = texts
        self._store = CustomerBucket(bus, texts)

    async def load(self, key: str) -> CustomerKnown:
        """Read from the bucket's leader."""
        try:
            return (await self._store.load(key)).known
        except BusError as error:
            _log.warning("customer.load_failed", error=reason_of(error))
            return CustomerKnown()

    async def decode(self, payload: bytes) -> CustomerKnown:
        """Decrypt a changed value."""
        return await self._store.read(payload)

    async def read(self, request: ReadCustomer, *, timeout_s: float) -> CustomerKnown | None:
        """Request a reading from any agents process."""
        try:
            raw = await self._bus.request(
                subjects.read_customer(self._region), codec.encode(request), timeout_s=timeout_s
            )
            reply = codec.customer_reply.decode(raw)
        except (BusError, codec.DecodeError) as error:
            _log.warning("customer.read_failed", error=reason_of(error))
            return None
        return reply if isinstance(reply, CustomerKnown) else None

    async def keep_earlier(
        self, key: str, conversation: ConversationId, earlier: list[Utterance], *, text_key: str
    ) -> None:
        """Write behind the fence."""
        try:
            if await self._texts.is_erased(text_key):
                return
            await self._store.update(
                key, lambda stored: replace(stored.known, conversation=conversation, earlier=earlier)
            )
        except (BusError, TextsErasedError) as error:
            _log.warning("customer.keep_failed", conversation=conversation, error=reason_of(error))
