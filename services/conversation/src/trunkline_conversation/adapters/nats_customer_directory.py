"""Customers in KV CUSTOMERS, and the agents that read facts about them."""

from __future__ import annotations

from typing import Final

import structlog
from msgspec.structs import replace
from trunkline_chassis.bus import Bus
from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_chassis.errors import BusError
from trunkline_chassis.logs import reason_of
from trunkline_protocols import codec, subjects
from trunkline_protocols.context import Utterance
from trunkline_protocols.customers import CustomerKnown, ReadCustomer
from trunkline_protocols.ids import ConversationId

_log: Final = structlog.get_logger(__name__)


class NatsCustomerDirectory:
    """Implements the port `CustomerDirectory`."""

    def __init__(self, bus: Bus, region: str) -> None:
        """Request readings from the agents of `region`."""
        self._bus = bus
        self._region = region
        self._store = CustomerBucket(bus)

    async def load(self, key: str) -> CustomerKnown:
        """Read from the bucket's leader."""
        try:
            return (await self._store.load(key)).known
        except BusError as error:
            _log.warning("customer.load_failed", error=reason_of(error))
            return CustomerKnown()

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

    async def keep_earlier(self, key: str, conversation: ConversationId, earlier: list[Utterance]) -> None:
        """Write behind the fence."""
        try:
            await self._store.update(
                key, lambda stored: replace(stored.known, conversation=conversation, earlier=earlier)
            )
        except BusError as error:
            _log.warning("customer.keep_failed", conversation=conversation, error=reason_of(error))
