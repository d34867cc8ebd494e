"""The responder replies to every request: with the handler's result, or with a refusal."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.rpc import Responder
from trunkline_protocols import codec
from trunkline_protocols.presence import GetStatus, SuiteStatus
from trunkline_protocols.refusal import Refused
from trunkline_protocols.wire import Wire

TIMEOUT_S = 20.0
MAX_IN_FLIGHT = 2

_decoder: codec.Decoder[SuiteStatus | Refused] = codec.Decoder(SuiteStatus | Refused)


class GatedHandler:
    """Replies once the test opens its gate, and records the requests that are being handled."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.running = 0
        self.max_running = 0
        self.cancelled = 0
        self._changed = asyncio.Condition()

    async def __call__(self, _: GetStatus) -> SuiteStatus:
        async with self._changed:
            self.running += 1
            self.max_running = max(self.max_running, self.running)
            self._changed.notify_all()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return SuiteStatus(ready=True, processes=[])

    async def wait_until_running(self, count: int) -> None:
        async with asyncio.timeout(TIMEOUT_S), self._changed:
            await self._changed.wait_for(lambda: self.running >= count)


@pytest.fixture
def subject() -> str:
    """A subject that no other test uses."""
    return f"rpc.{secrets.token_hex(6)}"


@pytest.fixture
async def responder(bus: Bus) -> AsyncIterator[Responder]:
    """A responder that accepts two requests at a time."""
    async with asyncio.TaskGroup() as tasks:
        running = Responder(bus, "rpc", RecentLatency(), tasks, max_in_flight=MAX_IN_FLIGHT)
        yield running
        await running.close(TIMEOUT_S)


async def request(bus: Bus, subject: str, payload: bytes | None = None) -> Wire:
    """Send a request, by default a valid one, and decode the reply."""
    payload = codec.encode(GetStatus()) if payload is None else payload
    return _decoder.decode(await bus.request(subject, payload, timeout_s=TIMEOUT_S))


async def test_request_beyond_max_in_flight_is_refused_as_overloaded(
    bus: Bus, subject: str, responder: Responder
) -> None:
    """The accepted requests still get their replies, and then there is room again."""
    handler = GatedHandler()
    await responder.serve(subject, codec.Decoder(GetStatus), handler)
    async with asyncio.TaskGroup() as tasks:
        accepted = [tasks.create_task(request(bus, subject)) for _ in range(MAX_IN_FLIGHT)]
        await handler.wait_until_running(MAX_IN_FLIGHT)
        assert responder.in_flight == MAX_IN_FLIGHT
        refused = await request(bus, subject)
        handler.gate.set()
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == ("overloaded", True)
    assert all(isinstance(task.result(), SuiteStatus) for task in accepted)
    assert isinstance(await request(bus, subject), SuiteStatus)


async def test_max_in_flight_counts_the_requests_of_all_subjects(bus: Bus, subject: str, responder: Responder) -> None:
    """The bound is per process, not per subject."""
    handler = GatedHandler()
    for name in ("one", "two"):
        await responder.serve(f"{subject}.{name}", codec.Decoder(GetStatus), handler)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(MAX_IN_FLIGHT):
            tasks.create_task(request(bus, f"{subject}.one"))
        await handler.wait_until_running(MAX_IN_FLIGHT)
        refused = await request(bus, f"{subject}.two")
        handler.gate.set()
    assert isinstance(refused, Refused)
    assert refused.code == "overloaded"


async def test_request_beyond_max_concurrent_is_queued(bus: Bus, subject: str, responder: Responder) -> None:
    """It is in flight, but its handler starts only after the previous one."""
    handler = GatedHandler()
    await responder.serve(subject, codec.Decoder(GetStatus), handler, max_concurrent=1)
    async with asyncio.TaskGroup() as tasks:
        pending = [tasks.create_task(request(bus, subject)) for _ in range(MAX_IN_FLIGHT)]
        async with asyncio.timeout(TIMEOUT_S):
            while responder.in_flight < MAX_IN_FLIGHT:
                await asyncio.sleep(0.01)
        await handler.wait_until_running(1)
        handler.gate.set()
    assert all(isinstance(task.result(), SuiteStatus) for task in pending)
    assert handler.max_running == 1


@pytest.mark.parametrize("payload", [b"", b"not json", b'{"type":"unknown"}'])
async def test_undecodable_request_is_refused(bus: Bus, subject: str, responder: Responder, payload: bytes) -> None:
    """The refusal forbids a retry, and the responder serves the next request."""
    handler = GatedHandler()
    handler.gate.set()
    await responder.serve(subject, codec.Decoder(GetStatus), handler)
    refused = await request(bus, subject, payload)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == ("bad_request", False)
    assert handler.max_running == 0
    assert isinstance(await request(bus, subject), SuiteStatus)


async def test_failing_handler_is_refused_as_internal(bus: Bus, subject: str, responder: Responder) -> None:
    """The caller may retry, gets no text of a library, which may quote input, and the responder keeps serving."""
    failures = 0

    async def fail(_: GetStatus) -> SuiteStatus:
        nonlocal failures
        failures += 1
        raise KeyError("canary")

    await responder.serve(subject, codec.Decoder(GetStatus), fail)
    for _ in range(MAX_IN_FLIGHT + 1):
        refused = await request(bus, subject)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.retryable) == ("internal", True)
        assert refused.message == "KeyError"
    assert failures == MAX_IN_FLIGHT + 1


async def test_close_finishes_requests_in_flight_and_accepts_no_more(
    bus: Bus, subject: str, responder: Responder
) -> None:
    """The pending callers get their replies; a later request finds no responder."""
    handler = GatedHandler()
    await responder.serve(subject, codec.Decoder(GetStatus), handler)
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        pending = [tasks.create_task(request(bus, subject)) for _ in range(MAX_IN_FLIGHT)]
        await handler.wait_until_running(MAX_IN_FLIGHT)
        closing = tasks.create_task(responder.close(TIMEOUT_S))
        while True:
            try:
                await request(bus, subject)
            except BusUnavailableError:
                break
        assert not closing.done()
        handler.gate.set()
    assert all(isinstance(task.result(), SuiteStatus) for task in pending)
    assert (responder.in_flight, handler.cancelled) == (0, 0)


async def test_close_cancels_requests_after_its_timeout(bus: Bus, subject: str, responder: Responder) -> None:
    """A handler that never ends does not delay the shutdown."""
    handler = GatedHandler()
    await responder.serve(subject, codec.Decoder(GetStatus), handler)
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        pending = tasks.create_task(bus.request(subject, codec.encode(GetStatus()), timeout_s=TIMEOUT_S))
        await handler.wait_until_running(1)
        await responder.close(0.01)
        assert (responder.in_flight, handler.cancelled) == (0, 1)
        pending.cancel()


async def test_reply_over_the_limit_of_the_server_is_refused(bus: Bus, subject: str, responder: Responder) -> None:
    """The caller does not wait for a reply that cannot be sent."""

    async def reply(_: GetStatus) -> Refused:
        return Refused(code="big", message="x" * (bus.client.max_payload + 1), retryable=False)

    await responder.serve(subject, codec.Decoder(GetStatus), reply)
    refused = await request(bus, subject)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == ("too_large", False)
