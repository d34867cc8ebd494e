"""Stored values that cannot be decoded are skipped with an alert; the last readable value stays in use."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from prometheus_client import REGISTRY
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.delivery import Delivery, Reject, settle
from trunkline_chassis.errors import FenceError
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import (
    SUBJECT,
    publish_fleet,
    read_current_fleet,
    read_fleet_history,
    seed_fleet,
)
from trunkline_chassis.fleet_view import follow_fleet
from trunkline_chassis.kv_view import KvView
from trunkline_chassis.notices import Notices
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.provision import provision
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import Instance
from trunkline_protocols.spending import Spent

from tests.support.nats import nats_server
from tests.support.undecodable import UNDECODABLE

FLEET = load_fleet(Path(__file__).parents[2] / "fleet")
WAYS = pytest.mark.parametrize("payload", UNDECODABLE.values(), ids=UNDECODABLE)


@pytest.fixture
async def own_bus(tmp_path: Path) -> AsyncIterator[Bus]:
    """A provisioned server of its own: the fleet's versions of other tests are not on it."""
    with nats_server(tmp_path) as url:
        connection = await connect(url, "test")
        await provision(connection, region="local", specialties=["triage"], replicas=1)
        yield connection
        await connection.close()


def alerts(kind: str) -> float:
    return REGISTRY.get_sample_value("trunkline_undecodable_total", {"kind": kind}) or 0.0


def spent(usd: float) -> Spent:
    return Spent(tenant="default", day=20_000, instance="llm-1", usd=usd)


async def put(bus: Bus, subject: str, payload: bytes) -> int:
    return (await bus.append(subject, payload, message_id=secrets.token_hex(8))).seq


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.02)


@WAYS
async def test_view_keeps_the_last_readable_value(bus: Bus, payload: bytes) -> None:
    """Of the key that became unreadable; the other keys follow their changes, also with a whole new read."""
    day, other = f"$KV.SPENDING.{secrets.token_hex(4)}", f"$KV.SPENDING.{secrets.token_hex(4)}"
    await put(bus, day, codec.encode(spent(1.0)))
    view = KvView(bus, "SPENDING", codec.spent)
    await view.start()
    before = alerts("spending")
    await put(bus, day, payload)
    await put(bus, other, codec.encode(spent(2.0)))
    await until(lambda: other.removeprefix("$KV.SPENDING.") in view.values)
    assert view.values[day.removeprefix("$KV.SPENDING.")].usd == 1.0
    assert alerts("spending") > before
    restarted = KvView(bus, "SPENDING", codec.spent)
    await restarted.start()
    assert restarted.values[other.removeprefix("$KV.SPENDING.")].usd == 2.0
    await put(bus, day, b"")


async def test_last_readable_fleet_holds_and_can_be_succeeded(own_bus: Bus) -> None:
    """Running processes keep it, new ones load it, and a new version takes the place of the unreadable ones."""
    first = await publish_fleet(own_bus, FLEET, after=0, by="test", origin="start")
    view = await follow_fleet(own_bus)
    running = asyncio.ensure_future(view.run())
    for payload in list(UNDECODABLE.values())[:9]:
        await put(own_bus, SUBJECT, payload)
    current = await read_current_fleet(own_bus)
    assert current is not None
    assert current.version == first.version
    assert (await follow_fleet(own_bus)).current.version == first.version
    assert await seed_fleet(own_bus, FLEET, by="test") == current
    history = await read_fleet_history(own_bus)
    assert ([version.version for version in history.versions], len(history.unreadable)) == ([first.version], 9)
    assert history.is_latest_unreadable
    second = await publish_fleet(own_bus, FLEET, after=first.version, by="test", origin="rollback")
    await until(lambda: view.current.version == second.version)
    assert not running.done()
    running.cancel()
    with pytest.raises(FenceError):
        await publish_fleet(own_bus, FLEET, after=first.version, by="test", origin="apply")


async def test_fleet_is_published_although_no_version_is_readable(own_bus: Bus) -> None:
    """`trunkline up` publishes the fleet of its folder."""
    await put(own_bus, SUBJECT, b"\xff")
    assert await read_current_fleet(own_bus) is None
    assert (await seed_fleet(own_bus, FLEET, by="test")).version == 2


@WAYS
async def test_unreadable_notice_and_presence_are_skipped(bus: Bus, payload: bytes) -> None:
    """Before the start and afterwards."""
    region = f"r{secrets.token_hex(4)}"
    subject = subjects.notice(region, "agents")
    await put(bus, subject, payload)
    notices = Notices(bus, region=region, service="agents", instance=Instance("agents-1"))
    await notices.start()
    presences = PresenceRegistry()
    await presences.watch(bus)
    await bus.flush()
    before = alerts("notice"), alerts("presence")
    await put(bus, subject, payload)
    await bus.publish(subjects.presence("agents", "agents-1"), payload)
    await until(lambda: alerts("notice") > before[0] and alerts("presence") > before[1])
    assert notices.active("agents") == []
    assert presences.get("agents-1") is None


async def test_large_payload_is_dead_lettered_although_its_text_is_larger_than_a_message(bus: Bus) -> None:
    """Control characters take six bytes each as JSON."""
    conversation = subjects.inbox("local", "c1")  # type: ignore[arg-type]
    payload = b"\x01" * 1_000_000
    name = secrets.token_hex(4)
    message = Msg(_client=bus.client, subject=conversation, reply="", data=payload)
    delivery = Delivery("INBOX", f"slot-{name}", conversation, payload, 7, 1, 0, message)
    delivery.message.reply = f"test.{name}"
    await settle(bus, delivery, Reject("not decodable"))
    (stored,) = await bus.read_messages("DEAD_LETTERS", subjects.dead_letter("INBOX", f"slot-{name}"))
    letter = codec.dead_letter.decode(stored.payload)
    assert letter.payload == "\x01" * 100_000
    assert "of 1000000 bytes" in letter.reason
