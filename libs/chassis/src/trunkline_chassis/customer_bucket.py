"""Customers in KV CUSTOMERS: one key per customer, by a hash of the id, changed behind a fence."""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    @property
    def exists(self) -> bool:
        """Return whether there is a value."""
        return bool(self.revision) and not self.is_forgotten


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

        def changed(stored: StoredCustomer) -> StoredCustomer | None:
            known = change(stored)
            return None if known in (None, stored.known) else StoredCustomer(known, stored.revision)

        latest, _ = await self._change(key, changed)
        return latest.known

    async def forget(self, key: str) -> bool:
        """Delete the value from the bucket and from the memory of every process; return whether there was one."""
        _, is_changed = await self._change(
            key, lambda stored: replace(stored, is_forgotten=True) if stored.exists else None
        )
        return is_changed

    async def _change(
        self, key: str, change: Callable[[StoredCustomer], StoredCustomer | None]
    ) -> tuple[StoredCustomer, bool]:
        """Store the change of the last value, again after a conflict; return the value then, and whether it changed."""
        for attempts_left in reversed(range(_MAX_ATTEMPTS)):
            stored = await self.load(key)
            changed = change(stored)
            if changed is None:
                return stored, False
            try:
                payload = b"" if changed.is_forgotten else codec.encode(changed.known)
                await self._append(key, payload, stored.revision)
            except FenceError:
                if not attempts_left:
                    raise
            else:
                return changed, True
        raise AssertionError("unreachable")

    async def _append(self, key: str, payload: bytes, revision: int) -> None:
        await self._bus.append(key, payload, message_id=f"{key}-{revision}-{crc32(payload)}", fence=(key, revision))
