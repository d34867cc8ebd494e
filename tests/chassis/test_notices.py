"""Broadcasts as a process knows them, on a real nats-server."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.notices import Notices
from trunkline_protocols import codec, subjects
from trunkline_protocols.broadcast import NoticePublished, NoticeRecalled, NoticeReceipt
from trunkline_protocols.ids import Instance
from trunkline_protocols.streams import NOTICES


@pytest.fixture
def region() -> str:
    """A region of this test's own."""
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


def process(bus: Bus, region: str, instance: str = "agents-billing-1") -> Notices:
    return Notices(bus, region=region, service="agents", instance=Instance(instance))


def ids(notices: Notices, **whom: Any) -> list[str]:
    return [each.notice for each in notices.active("agents", **whom)]


async def test_process_that_was_down_has_caught_up_before_it_answers(bus: Bus, region: str) -> None:
    """When `start` returns it knows what holds, and not what was recalled meanwhile."""
    holds, recalled = notice(region), notice(region)
    await publish(bus, holds)
    await publish(bus, recalled)
    await publish(bus, recall(recalled))
    late = process(bus, region)
    await late.start()
    assert ids(late) == [holds.notice]


async def test_expired_notice_is_not_shown(bus: Bus, region: str) -> None:
    """By its own clock, whether the stream has dropped it already or not; and not to who comes later."""
    soon = notice(region, expires_at=time.time() + 60)
    gone = notice(region, expires_at=time.time() - 1)
    await publish(bus, soon)
    await publish(bus, gone)
    known = process(bus, region)
    await known.start()
    assert ids(known) == [soon.notice]
    assert ids(known, now=soon.expires_at + 0.1) == []


async def test_stream_forgets_a_notice_when_its_time_is_over(bus: Bus, region: str) -> None:
    """The TTL is the message's own."""
    await publish(bus, notice(region), ttl_s=1.0)
    async with asyncio.timeout(20):
        while await bus.read_messages(NOTICES.name, subjects.notices(region)):
            await asyncio.sleep(0.1)


async def test_recall_takes_effect_at_once_and_stays_however_often_the_stream_is_read(bus: Bus, region: str) -> None:
    """A process that reads everything again, as after a reconnection, does not revive it."""
    published = notice(region)
    known = process(bus, region)
    heard: list[str] = []
    known.on_change = lambda message: heard.append(message.notice)
    await known.start()
    await publish(bus, published)
    await publish(bus, recall(published))
    async with asyncio.timeout(10):
        while len(heard) < 2:
            await asyncio.sleep(0)
    assert ids(known) == []
    await known.start()
    assert ids(known) == []


async def test_every_process_leaves_its_receipt(bus: Bus, region: str) -> None:
    """Stored beside the notice: who is missing can be told."""
    published = notice(region)
    await publish(bus, published)
    async with asyncio.TaskGroup() as tasks:
        running = []
        for instance in ("agents-billing-1", "conversation-1"):
            known = process(bus, region, instance)
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


async def test_notice_reaches_its_audience_only(bus: Bus, region: str) -> None:
    """By region, specialty and tenant."""
    of_billing = notice(region, specialties=["billing"], tenants=["shop"])
    elsewhere = notice(f"{region}x")
    to_customers = notice(region, audience="customers")
    for published in (of_billing, elsewhere, to_customers):
        await publish(bus, published)
    known = process(bus, region)
    await known.start()
    assert ids(known, specialty="billing", tenant="shop") == [of_billing.notice]
    assert ids(known, specialty="technical", tenant="shop") == []
    assert ids(known, specialty="billing", tenant="other") == []
    assert [each.notice for each in known.active("customers")] == [to_customers.notice]
