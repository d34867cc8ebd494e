"""Customers in KV CUSTOMERS: one key per customer, by a hash of the id, changed behind a fence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

from trunkline_protocols import codec
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.streams import CUSTOMERS

from trunkline_chassis.errors import FenceError
from trunkline_chassis.undecodable import report_undecodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from trunkline_chassis.bus import Bus

_STREAM: Final = f"KV_{CUSTOMERS.name}"
_MAX_ATTEMPTS: Final = 20
"""Attempts to change a value: each fails only because another process has changed it in between."""


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """The known data about a customer with its revision; `is_forgotten` if it was deleted."""

    known: CustomerKnown
    revision: int
    is_forgotten: bool = False


class CustomerBucket:
    """Reads and changes the values; keys are subjects of `customers.subject_of`."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def load(self, key: str) -> StoredCustomer:
        """Read from the bucket's leader; a value that cannot be decoded counts as empty, and the next one replaces it.

        Raises `BusError`.
        """
        stored = await self._bus.last_message(_STREAM, key)
        if stored is None:
            return StoredCustomer(CustomerKnown(), 0)
        if not stored.payload:
            return StoredCustomer(CustomerKnown(), stored.seq, is_forgotten=True)
        try:
            return StoredCustomer(codec.customer_known.decode(stored.payload), stored.seq)
        except codec.DecodeError as error:
            report_undecodable("customers", key, error)
            return StoredCustomer(CustomerKnown(), stored.seq)

    async def replace(self, key: str, known: CustomerKnown, revision: int) -> None:
        """Store a value behind `revision`; raise `FenceError` if there is a later one, or another `BusError`."""
        await self._append(key, codec.encode(known), revision)

    async def update(self, key: str, change: Callable[[StoredCustomer], CustomerKnown | None]) -> CustomerKnown:
        """Store the change of the last value, again after a conflict; without effect if it returns None or no change.

        Returns the value then. Raises `BusError`.
        """
        for attempts_left in reversed(range(_MAX_ATTEMPTS)):
            stored = await self.load(key)
            changed = change(stored)
            if changed is None or changed == stored.known:
                return stored.known
            try:
                await self.replace(key, changed, stored.revision)
            except FenceError:
                if not attempts_left:
                    raise
                continue
            return changed
        raise AssertionError("unreachable")

    async def forget(self, key: str) -> bool:
        """Delete the value from the bucket and from the memory of every process; return whether there was one."""
        for attempts_left in reversed(range(_MAX_ATTEMPTS)):
            stored = await self.load(key)
            if stored.is_forgotten or not stored.revision:
                return False
            try:
                await self._append(key, b"", stored.revision)
            except FenceError:
                if not attempts_left:
                    raise
                continue
            return True
        raise AssertionError("unreachable")

    async def _append(self, key: str, payload: bytes, revision: int) -> None:
        await self._bus.append(key, payload, message_id=f"{key}-{revision}-{crc32(payload)}", fence=(key, revision))
