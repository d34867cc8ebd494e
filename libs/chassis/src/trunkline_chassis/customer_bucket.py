"""Customers in KV CUSTOMERS: one key per customer, by a hash of the id, changed behind a fence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

from msgspec import structs
from trunkline_protocols import codec, subjects
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.streams import CUSTOMERS

from trunkline_chassis.errors import FenceError, TextsErasedError
from trunkline_chassis.texts import NO_KEYS, Texts
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

    def __init__(self, bus: Bus, texts: Texts = NO_KEYS) -> None:
        """Use the connection of the process, and the keys of customers."""
        self._bus = bus
        self._texts = texts

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
            return StoredCustomer(await self.read(stored.payload), stored.seq)
        except codec.DecodeError as error:
            report_undecodable("customers", key, error)
        except TextsErasedError:
            pass  # erased, but not forgotten yet
        return StoredCustomer(CustomerKnown(), stored.seq)

    async def read(self, payload: bytes) -> CustomerKnown:
        """Return a stored value; raise `DecodeError`, `TextsErasedError` or `BusError`."""
        return structs.replace(await self._texts.decrypt(codec.customer_known.decode(payload)), key="")

    async def _payload_of(self, key: str, known: CustomerKnown) -> bytes:
        """Return a value as it is stored, encrypted with the present key of the customer."""
        text_key = await self._texts.key_of(*subjects.tenant_of_customer(key))
        return codec.encode(await self._texts.encrypt(structs.replace(known, key=text_key)))

    async def replace(self, key: str, known: CustomerKnown, revision: int) -> None:
        """Store a value behind `revision`; raise `FenceError` if there is a later one, or another `BusError`.

        Raises `TextsErasedError` if the customer has no key any more and this process creates none, as `update` does.
        """
        await self._append(key, await self._payload_of(key, known), revision)

    async def update(self, key: str, change: Callable[[StoredCustomer], CustomerKnown | None]) -> CustomerKnown:
        """Store the change of the last value, again after a conflict; without effect if it returns None or no change.

        Returns the value then. Raises `BusError`.
        """
        for attempts_left in reversed(range(_MAX_ATTEMPTS)):
            stored = await self.load(key)
            known = change(stored)
            if known is None or known == stored.known:
                return stored.known
            try:
                await self.replace(key, known, stored.revision)
            except FenceError:
                if not attempts_left:
                    raise
            else:
                return known
        raise AssertionError("unreachable")

    async def forget(self, key: str) -> bool:
        """Delete the value from the bucket and from the memory of every process; return whether there was one.

        It is not decrypted: its key may be destroyed already.
        """
        for attempts_left in reversed(range(_MAX_ATTEMPTS)):
            stored = await self._bus.last_message(_STREAM, key)
            if stored is None or not stored.payload:
                return False
            try:
                await self._append(key, b"", stored.seq)
            except FenceError:
                if not attempts_left:
                    raise
            else:
                return True
        raise AssertionError("unreachable")

    async def _append(self, key: str, payload: bytes, revision: int) -> None:
        await self._bus.append(key, payload, message_id=f"{key}-{revision}-{crc32(payload)}", fence=(key, revision))
