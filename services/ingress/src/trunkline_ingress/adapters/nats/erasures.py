"""Erasure of customers: their keys in KV CUSTOMER_KEYS are overwritten, the receipts stay in stream ERASURES.

The receipt is stored first: from then on no process uses the key, whatever happens to the rest of the erasure, which is
repeated at the next start. Then the key is overwritten on the disk of every server, and the known data about the
customer is deleted.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from trunkline_chassis.bus import MESSAGE_NOT_FOUND, Bus
from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_chassis.customer_keys import decode_key, read_key
from trunkline_chassis.errors import BusRefusedError
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.customer_keys import CustomerErased, hash_of, parse_key_id

from trunkline_ingress.adapters.erasure_file import ErasureFile

_log: Final = structlog.get_logger(__name__)
_KEYS: Final = f"KV_{streams.CUSTOMER_KEYS.name}"
_ERASURES: Final = streams.ERASURES.name
_MAX_ATTEMPTS: Final = 5
"""Attempts to overwrite a key: each fails only because it was encrypted again in between."""


class NatsErasures:
    """Erases customers, and applies the list of erasures."""

    def __init__(self, bus: Bus, region: str, customers: CustomerBucket, file: ErasureFile) -> None:
        """`file` is the second list."""
        self._bus = bus
        self._region = region
        self._customers = customers
        self._file = file

    async def erase(self, tenant: str, customer: str, *, operator: str) -> CustomerErased | None:
        """Destroy the key of a customer and return the receipt, None if there is no key. Raises `BusError`."""
        hashed = hash_of(tenant, customer)
        found, _ = await read_key(self._bus, subjects.customer_key(tenant, hashed))
        if found is None:
            return None
        key = found.id
        _, fingerprint = parse_key_id(key)
        receipt = await self._receipt_of(key)
        if receipt is None:
            receipt = CustomerErased(
                key=key,
                tenant=tenant,
                customer=hashed,
                fingerprint=fingerprint,
                operator=operator,
                at=time.time(),
            )
            await self._record(receipt)
        self._file.append([receipt])
        await self._destroy(key)
        await self._customers.forget(subjects.customer(tenant, hashed))
        _log.info("customer.erased", customer=hashed, fingerprint=fingerprint)
        return receipt

    async def apply_list(self) -> None:
        """Make stream and file equal, and destroy the keys that a backup or an incomplete erasure has left."""
        listed = self._file.read()
        stored = {}
        for message in await self._bus.read_messages(_ERASURES, subjects.ERASURES):
            try:
                receipt = codec.customer_erased.decode(message.payload)
            except codec.DecodeError as error:
                report_undecodable("erasures", message.subject, error, sequence=message.seq)
                continue
            stored[receipt.key] = receipt
        missing = [receipt for key, receipt in listed.items() if key not in stored]
        for receipt in missing:
            await self._record(receipt)
        self._file.append(receipt for key, receipt in stored.items() if key not in listed)
        for receipt in (stored | listed).values():
            if await self._destroy(receipt.key):
                await self._customers.forget(subjects.customer(receipt.tenant, receipt.customer))
                _log.warning("erasure.applied", customer=receipt.customer, fingerprint=receipt.fingerprint)

    async def _receipt_of(self, key: str) -> CustomerErased | None:
        stored = await self._bus.last_message(_ERASURES, subjects.erasure_any(*parse_key_id(key)))
        return codec.customer_erased.decode(stored.payload) if stored is not None else None

    async def _record(self, receipt: CustomerErased) -> None:
        subject = subjects.erasure(self._region, receipt.customer, receipt.fingerprint)
        await self._bus.append(subject, codec.encode(receipt), message_id=f"erasure-{receipt.key}")

    async def _destroy(self, key: str) -> bool:
        """Overwrite every revision of a key in the bucket; return whether there was one."""
        customer, _ = parse_key_id(key)
        is_found = False
        for _ in range(_MAX_ATTEMPTS):
            stored = await self._bus.read_messages(_KEYS, subjects.customer_key_any(customer))
            revisions = [each for each in stored if (found := decode_key(each)) is not None and found.id == key]
            if not revisions:
                break
            for each in revisions:
                is_found |= await self._overwrite(each.seq)
        return is_found

    async def _overwrite(self, sequence: int) -> bool:
        """Delete a value; return whether it was there. Without `no_erase`, the server overwrites it on the disk."""
        try:
            await self._bus.api(f"STREAM.MSG.DELETE.{_KEYS}", {"seq": sequence})
        except BusRefusedError as error:
            if error.code != MESSAGE_NOT_FOUND:
                raise
            return False
        return True
