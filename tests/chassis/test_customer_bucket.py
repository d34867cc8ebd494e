"""Customers in KV CUSTOMERS on a real server: changes behind a fence, and a deletion that a later change ends."""

from __future__ import annotations

import asyncio
import secrets

from msgspec.structs import replace
from trunkline_chassis.bus import Bus
from trunkline_chassis.customer_bucket import CustomerBucket, StoredCustomer
from trunkline_protocols.customers import CustomerKnown, subject_of


async def test_concurrent_changes_lose_none(bus: Bus) -> None:
    """Each is made again on the value that another one has stored in between."""
    bucket, key = CustomerBucket(bus), subject_of("default", secrets.token_hex(8))

    async def add(name: str) -> None:
        await bucket.update(key, lambda stored: replace(stored.known, claims=stored.known.claims | {name: "1"}))

    await asyncio.gather(*(add(f"claim_{number}") for number in range(8)))
    assert len((await bucket.load(key)).known.claims) == 8


async def test_forgotten_customer_can_be_known_again(bus: Bus) -> None:
    """A change after the deletion starts from nothing; one without effect stores nothing."""
    bucket, key = CustomerBucket(bus), subject_of("default", secrets.token_hex(8))
    assert not await bucket.forget(key)
    await bucket.update(key, lambda stored: replace(stored.known, claims={"plan": "plus"}))
    assert await bucket.forget(key)
    forgotten = await bucket.load(key)
    assert forgotten == StoredCustomer(CustomerKnown(), forgotten.revision, is_forgotten=True)
    assert await bucket.update(key, lambda _: None) == CustomerKnown()
    assert (await bucket.load(key)).revision == forgotten.revision
    again = await bucket.update(key, lambda stored: replace(stored.known, claims={"plan": "basic"}))
    stored = await bucket.load(key)
    assert stored.exists
    assert stored.known == again == CustomerKnown(claims={"plan": "basic"})
