"""Active notices of a process, on a real nats-server."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import msgspec
import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.notices import Notices
from trunkline_protocols import codec, subjects
from trunkline_protocols.broadcast import NoticePublished, NoticeRecalled, NoticeReceipt
from trunkline_protocols.ids import Instance
from trunkline_protocols.streams import NOTICES


@pytest.fixture
def region() -> str:
    """A region that no other test uses."""
    return f"r{secrets.token_hex(4)}"


def notice(region: str, **changes: Any) -> NoticePublished:
    now = time.time()
    fields: dict[str, Any] = {
        "notice": f"n{secrets.token_hex(6)}",
        "text": "Card payments are slow today.",
        "severity": "warning",
        "audience": "agents",
        "published_at": now,
        "expires_at": now + 3_600,
        "region": region,
    }
    return NoticePublished(**(fields | changes))


async def publish(bus: Bus, message: NoticePublished | NoticeRecalled, *, ttl_s: float = 3_600.0) -> None:
    subject = subjects.notice(message.region, message.audience)
    await bus.append(subject, codec.encode(message), message_id=secrets.token_hex(8), ttl_s=ttl_s)


def recall(published: NoticePublished) -> NoticeRecalled:
    return NoticeRecalled(
        notice=published.notice, audience=published.audience, region=published.region, recalled_at=time.time()
    )


def notices_of(bus: Bus, region: str, instance: str = "agents-billing-1") -> Notices:
    return Notices(bus, region=region, service="agents", instance=Instance(instance))


def active_ids(notices: Notices, **recipient: Any) -> list[str]:
    return [each.notice for each in notices.active("agents", **recipient)]


async def test_process_knows_the_active_notices_after_start(bus: Bus, region: str) -> None:
    """Notices published before the start are known, unless they were recalled."""
    active, recalled = notice(region), notice(region)
    await publish(bus, active)
    await publish(bus, recalled)
    await publish(bus, recall(recalled))
    late = notices_of(bus, region)
    await late.start()
    assert active_ids(late) == [active.notice]


async def test_recall_by_a_process_whose_clock_is_ahead_counts_at_once(bus: Bus, region: str) -> None:
    """Its time is in the future of the others."""
    published, known = notice(region), notices_of(bus, region)
    await publish(bus, published)
    await publish(bus, msgspec.structs.replace(recall(published), recalled_at=time.time() + 1_800))
    await known.start()
    assert active_ids(known) == []


async def test_expired_notice_is_not_active(bus: Bus, region: str) -> None:
    """Expiry is checked on the local clock, whether or not the stream has dropped the notice."""
    soon = notice(region, expires_at=time.time() + 60)
    gone = notice(region, expires_at=time.time() - 1)
    await publish(bus, soon)
    await publish(bus, gone)
    known = notices_of(bus, region)
    await known.start()
    assert active_ids(known) == [soon.notice]
    assert active_ids(known, now=soon.expires_at + 0.1) == []


async def test_stream_drops_a_notice_after_its_ttl(bus: Bus, region: str) -> None:
    """The TTL is set per message."""
    await publish(bus, notice(region), ttl_s=1.0)
    async with asyncio.timeout(20):
        while await bus.read_messages(NOTICES.name, subjects.notices(region)):
            await asyncio.sleep(0.1)


async def test_recall_takes_effect_at_once_and_survives_a_reread(bus: Bus, region: str) -> None:
    """A process that reads the stream again, as after a reconnection, does not reactivate the notice."""
    published = notice(region)
    known = notices_of(bus, region)
    changes: list[str] = []
    known.on_change = lambda message: changes.append(message.notice)
    await known.start()
    await publish(bus, published)
    await publish(bus, recall(published))
    async with asyncio.timeout(10):
        while len(changes) < 2:
            await asyncio.sleep(0)
    assert active_ids(known) == []
    await known.start()
    assert active_ids(known) == []


async def test_every_process_publishes_a_receipt(bus: Bus, region: str) -> None:
    """Receipts are stored beside the notice, so that missing instances can be listed."""
    published = notice(region)
    await publish(bus, published)
    async with asyncio.TaskGroup() as tasks:
        running = []
        for instance in ("agents-billing-1", "conversation-1"):
            known = notices_of(bus, region, instance)
            await known.start()
            running.append(tasks.create_task(known.run()))
        async with asyncio.timeout(10):
            while len(stored := await bus.read_messages(NOTICES.name, subjects.receipts(region, published.notice))) < 2:
                await asyncio.sleep(0.02)
        for task in running:
            task.cancel()
    receipts = [codec.notice.decode(each.payload) for each in stored]
    assert {each.instance for each in receipts if isinstance(each, NoticeReceipt)} == {
        "agents-billing-1",
        "conversation-1",
    }


async def test_notice_is_active_for_its_audience_only(bus: Bus, region: str) -> None:
    """Filtered by region, specialty and tenant."""
    for_billing = notice(region, specialties=["billing"], tenants=["shop"])
    other_region = notice(f"{region}x")
    for_customers = notice(region, audience="customers")
    for published in (for_billing, other_region, for_customers):
        await publish(bus, published)
    known = notices_of(bus, region)
    await known.start()
    assert active_ids(known, specialty="billing", tenant="shop") == [for_billing.notice]
    assert active_ids(known, specialty="technical", tenant="shop") == []
    assert active_ids(known, specialty="billing", tenant="other") == []
    assert [each.notice for each in known.active("customers")] == [for_customers.notice]
