"""Watched questions: a dead answerer is noticed by its silence, a slow one is waited for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import msgspec
import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.rpc import Responder
from trunkline_chassis.watched_requests import HEARTBEAT_INTERVAL_S, HEARTBEAT_TIMEOUT_S, WatchedRequester
from trunkline_protocols import codec
from trunkline_protocols.presence import GetStatus, SuiteStatus


class Slow:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, _: GetStatus) -> SuiteStatus:
        self.asked.set()
        await self.may_answer.wait()
        return SuiteStatus(ready=True, processes=[])


@pytest.fixture
def subject() -> str:
    """A subject of this test's own."""
    return f"slow.{secrets.token_hex(6)}"


@pytest.fixture
async def slow(bus: Bus, subject: str) -> AsyncIterator[tuple[Slow, Responder]]:
    """A process that takes its time."""
    handler = Slow()
    async with asyncio.TaskGroup() as tasks:
        responder = Responder(bus, "slow", RecentLatency(), tasks)
        await responder.serve(subject, msgspec.json.Decoder(GetStatus), handler)
        yield handler, responder
        handler.may_answer.set()
        await responder.close(5)


async def test_answer_that_takes_longer_than_the_silence_is_waited_for(
    bus: Bus, subject: str, slow: tuple[Slow, Responder]
) -> None:
    """Signs of life come while the question is worked on."""
    handler, _ = slow

    async def answer_late() -> None:
        await asyncio.sleep(HEARTBEAT_TIMEOUT_S + 2 * HEARTBEAT_INTERVAL_S)
        handler.may_answer.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer_late())
        raw = await WatchedRequester(bus).request(subject, codec.encode(GetStatus()), timeout_s=30)
    assert codec.suite_status.decode(raw).ready


async def test_answerer_that_falls_silent_is_given_up_long_before_the_time_is_over(
    bus: Bus, subject: str, slow: tuple[Slow, Responder]
) -> None:
    """Its connection is cut in the middle of the work, as by a kill."""
    handler, responder = slow
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(_refusal(WatchedRequester(bus), subject))
        await handler.asked.wait()
        assert responder._beating is not None
        responder._beating.cancel()
        assert "silent" in await asking


async def test_question_is_given_up_when_its_time_is_over(bus: Bus, subject: str, slow: tuple[Slow, Responder]) -> None:
    """Though who has it lives and works; the next question over the same requester is answered."""
    handler, _ = slow
    requester = WatchedRequester(bus)
    assert "within 0.2 s" in await _refusal(requester, subject, timeout_s=0.2)
    handler.may_answer.set()
    assert codec.suite_status.decode(await requester.request(subject, codec.encode(GetStatus()), timeout_s=30)).ready


async def test_question_that_nobody_serves_ends_at_once(bus: Bus) -> None:
    """No silence needs to be waited for."""
    assert "nobody" in await _refusal(WatchedRequester(bus), "nobody.home")


async def _refusal(requester: WatchedRequester, subject: str, *, timeout_s: float = 60.0) -> str:
    with pytest.raises(BusUnavailableError) as refusal:
        await requester.request(subject, codec.encode(GetStatus()), timeout_s=timeout_s)
    return str(refusal.value)
