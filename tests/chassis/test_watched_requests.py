"""Watched requests: a dead responder is detected by its missing heartbeats, a slow one is waited for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.rpc import Responder
from trunkline_chassis.watched_requests import (
    HEARTBEAT_HEADER,
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_TIMEOUT_S,
    WATCHED_HEADER,
    WatchedRequester,
)
from trunkline_protocols import codec
from trunkline_protocols.presence import GetStatus, SuiteStatus


class SlowHandler:
    """Replies when the test releases it."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, _: GetStatus) -> SuiteStatus:
        self.called.set()
        await self.release.wait()
        return SuiteStatus(ready=True, processes=[])


@pytest.fixture
def subject() -> str:
    """A subject that no other test uses."""
    return f"slow.{secrets.token_hex(6)}"


@pytest.fixture
async def slow(bus: Bus, subject: str) -> AsyncIterator[tuple[SlowHandler, Responder]]:
    """A responder with a slow handler."""
    handler = SlowHandler()
    async with asyncio.TaskGroup() as tasks:
        responder = Responder(bus, "slow", RecentLatency(), tasks)
        await responder.serve(subject, codec.Decoder(GetStatus), handler)
        yield handler, responder
        handler.release.set()
        await responder.close(5)


async def test_reply_slower_than_the_heartbeat_timeout_is_received(
    bus: Bus, subject: str, slow: tuple[SlowHandler, Responder]
) -> None:
    """Heartbeats arrive while the request is processed."""
    handler, _ = slow

    async def release_late() -> None:
        await asyncio.sleep(HEARTBEAT_TIMEOUT_S + 2 * HEARTBEAT_INTERVAL_S)
        handler.release.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(release_late())
        raw = await WatchedRequester(bus).request(subject, codec.encode(GetStatus()), timeout_s=30)
    assert codec.suite_status.decode(raw).ready


async def test_lost_responder_fails_the_request_long_before_its_timeout(
    bus: Bus, subject: str, slow: tuple[SlowHandler, Responder]
) -> None:
    """The heartbeats stop while the request is processed, as after a kill."""
    handler, responder = slow
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        failing = tasks.create_task(_failure_of(WatchedRequester(bus), subject))
        await handler.called.wait()
        assert responder._heartbeat_task is not None
        responder._heartbeat_task.cancel()
        assert "no heartbeat" in await failing


async def test_requests_of_one_requester_share_their_heartbeats(
    bus: Bus, subject: str, slow: tuple[SlowHandler, Responder]
) -> None:
    """One message every 0.4 s for all of them, of which each counts: all wait longer than the heartbeat timeout."""
    handler, responder = slow
    heartbeats: list[tuple[str, set[bytes]]] = []
    send = responder._heartbeats._send

    async def recorded(to: str, payload: bytes) -> None:
        heartbeats.append((to, set(payload.split())))
        await send(to, payload)

    responder._heartbeats._send = recorded
    requester, other = WatchedRequester(bus), WatchedRequester(bus)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        waiting = [
            tasks.create_task(each.request(subject, codec.encode(GetStatus()), timeout_s=30))
            for each in (requester, other)
            for _ in range(20)
        ]
        while loop.time() - began < HEARTBEAT_TIMEOUT_S + 2 * HEARTBEAT_INTERVAL_S:
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)
        handler.release.set()
    assert all(codec.suite_status.decode(task.result()).ready for task in waiting)
    assert len({to for to, _ in heartbeats}) == 2
    assert max(len(numbers) for _, numbers in heartbeats) == 20
    # Two for each interval that has passed: on a slow machine more have, but never one for each request.
    assert len(heartbeats) <= 2 * ((loop.time() - began) / HEARTBEAT_INTERVAL_S + 1)
    assert not responder._heartbeats._watched


async def test_requester_of_an_earlier_version_gets_heartbeats_of_its_own(
    bus: Bus, subject: str, slow: tuple[SlowHandler, Responder]
) -> None:
    """Its header has another value, and it expects them on the subject of its reply."""
    handler, _ = slow
    reply = bus.client.new_inbox()
    received: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await bus.subscribe(reply, received.put)
    await bus.client.publish(subject, codec.encode(GetStatus()), reply=reply, headers={WATCHED_HEADER: "1"})
    async with asyncio.timeout(20):
        heartbeat = await received.get()
        assert HEARTBEAT_HEADER in (heartbeat.headers or {})
        handler.release.set()
        while HEARTBEAT_HEADER in ((message := await received.get()).headers or {}):
            pass
    assert codec.suite_status.decode(message.data).ready
    await subscription.unsubscribe()


async def test_responder_of_an_earlier_version_is_awaited(bus: Bus, subject: str) -> None:
    """It sends its heartbeats to the subject of the reply, for each request alone, whatever the header's value is."""

    async def serve(message: Msg) -> None:
        assert WATCHED_HEADER in (message.headers or {})
        for _ in range(round(HEARTBEAT_TIMEOUT_S / HEARTBEAT_INTERVAL_S) + 2):
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)
            await bus.client.publish(message.reply, b"", headers={HEARTBEAT_HEADER: "1"})
        await bus.client.publish(message.reply, b"late")

    subscription = await bus.subscribe(subject, serve)
    assert await WatchedRequester(bus).request(subject, b"", timeout_s=30) == b"late"
    await subscription.unsubscribe()


async def test_request_fails_after_its_timeout(bus: Bus, subject: str, slow: tuple[SlowHandler, Responder]) -> None:
    """Even if the responder is alive; the next request of the same requester succeeds."""
    handler, _ = slow
    requester = WatchedRequester(bus)
    assert "within 0.2 s" in await _failure_of(requester, subject, timeout_s=0.2)
    handler.release.set()
    raw = await requester.request(subject, codec.encode(GetStatus()), timeout_s=30)
    assert codec.suite_status.decode(raw).ready


async def test_request_without_responders_fails_at_once(bus: Bus) -> None:
    """No timeout has to pass."""
    assert "no responders" in await _failure_of(WatchedRequester(bus), "without.responders")


async def _failure_of(requester: WatchedRequester, subject: str, *, timeout_s: float = 60.0) -> str:
    with pytest.raises(BusUnavailableError) as failure:
        await requester.request(subject, codec.encode(GetStatus()), timeout_s=timeout_s)
    return str(failure.value)
