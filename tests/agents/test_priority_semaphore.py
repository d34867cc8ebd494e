"""Priority semaphore: the number of permits is never exceeded, and the most urgent waiter is admitted first."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from hypothesis import given, strategies as st
from trunkline_agents.application.priority_semaphore import PrioritySemaphore
from trunkline_agents.core.priority import priority
from trunkline_protocols.escalation import Urgency
from trunkline_protocols.turn import AnswerTurn

from tests.agents.builders import make_request


def waiting_request(name: str, urgency: Urgency, *, age_s: float = 0.0, allowed_s: float = 0.0) -> AnswerTurn:
    at = time.time() - age_s
    return make_request(name, urgency=urgency, dispatched_at=at, due_at=at + allowed_s if allowed_s else 0.0)


async def test_most_urgent_waiter_is_admitted_first() -> None:
    """Urgency times age, relative to the SLA; one at a time."""
    semaphore = PrioritySemaphore(1)
    admitted: list[str] = []
    running = max_running = 0
    go = asyncio.Event()

    async def run(request: AnswerTurn) -> None:
        nonlocal running, max_running
        async with semaphore.permit(request):
            admitted.append(request.text)
            running += 1
            max_running = max(max_running, running)
            await go.wait()
            running -= 1

    requests = [
        waiting_request("first", "low"),
        waiting_request("normal", "normal"),
        waiting_request("old normal", "normal", age_s=1_000),
        waiting_request("critical", "critical", allowed_s=60),
        waiting_request("high, nearly due", "high", age_s=290, allowed_s=300),
    ]
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for request in requests:
            tasks.create_task(run(request))
            await asyncio.sleep(0)
        assert semaphore.waiting == 4
        go.set()
    assert admitted == ["first", "critical", "high, nearly due", "old normal", "normal"]
    assert max_running == 1


async def test_cancelled_waiter_leaks_no_permit() -> None:
    """Neither before nor after it was admitted."""
    semaphore = PrioritySemaphore(1)
    async with semaphore.permit(waiting_request("a", "normal")):
        waiter = asyncio.ensure_future(_acquire(semaphore))
        await asyncio.sleep(0)
        waiter.cancel()
        with suppress(asyncio.CancelledError):
            await waiter
    async with asyncio.timeout(5):
        await _acquire(semaphore)


async def _acquire(semaphore: PrioritySemaphore) -> None:
    async with semaphore.permit(waiting_request("b", "normal")):
        pass


@given(st.sampled_from(["low", "normal", "high", "critical"]), st.floats(0, 1e6), st.floats(0, 1e6))
def test_priority_grows_with_age(urgency: Urgency, age_s: float, later_s: float) -> None:
    """No waiter starves."""
    request = make_request("x", urgency=urgency, dispatched_at=0.0)
    assert priority(request, age_s) <= priority(request, age_s + later_s)
