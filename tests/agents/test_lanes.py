"""PrioritySemaphore: never more work at once than places, and of what waits the most pressing first."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from hypothesis import given, strategies as st
from trunkline_agents.application.priority_semaphore import PrioritySemaphore
from trunkline_agents.core.priority import pressure
from trunkline_protocols.context import Urgency
from trunkline_protocols.turn import AnswerTurn

from tests.agents.colleagues import order


def work(name: str, urgency: Urgency, *, age_s: float = 0.0, allowed_s: float = 0.0) -> AnswerTurn:
    at = time.time() - age_s
    return order(name, urgency=urgency, dispatched_at=at, due_at=at + allowed_s if allowed_s else 0.0)


async def test_most_pressing_work_is_taken_first() -> None:
    """Urgency x age, by what the SLA allows; one at a time."""
    hands = PrioritySemaphore(1)
    begun: list[str] = []
    running = most = 0
    go = asyncio.Event()

    async def do(piece: AnswerTurn) -> None:
        nonlocal running, most
        async with hands.at_work(piece):
            begun.append(piece.text)
            running += 1
            most = max(most, running)
            await go.wait()
            running -= 1

    pieces = [
        work("first", "low"),
        work("normal", "normal"),
        work("old normal", "normal", age_s=1_000),
        work("critical", "critical", allowed_s=60),
        work("high, nearly due", "high", age_s=290, allowed_s=300),
    ]
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for piece in pieces:
            tasks.create_task(do(piece))
            await asyncio.sleep(0)
        assert hands.waiting == 4
        go.set()
    assert begun == ["first", "critical", "high, nearly due", "old normal", "normal"]
    assert most == 1


async def test_work_that_is_cancelled_while_it_waits_costs_no_place() -> None:
    """Neither before nor after it was given one."""
    hands = PrioritySemaphore(1)
    async with hands.at_work(work("a", "normal")):
        waiting = asyncio.ensure_future(_take(hands))
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(5):
        await _take(hands)


async def _take(hands: PrioritySemaphore) -> None:
    async with hands.at_work(work("b", "normal")):
        pass


@given(st.sampled_from(["low", "normal", "high", "critical"]), st.floats(0, 1e6), st.floats(0, 1e6))
def test_pressure_grows_with_age(urgency: Urgency, age_s: float, later_s: float) -> None:
    """Nothing starves."""
    piece = order("x", urgency=urgency, dispatched_at=0.0)
    assert pressure(piece, age_s) <= pressure(piece, age_s + later_s)
