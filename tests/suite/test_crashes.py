"""Processes killed with SIGKILL in mid-turn: every message is answered exactly once."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.customer import Customer
from tests.support.suite import Suite, wait_until

pytestmark = pytest.mark.processes

REFUND = "I was charged twice for my order, can I get a refund?"


async def keep_asking(customer: Customer, killed: asyncio.Event, answered: list[str]) -> None:
    """Ask one message after another, and five more after the kill."""
    number = 0
    remaining = 5
    while remaining:
        number += 1
        await customer.ask(f"m{number}", REFUND)
        answered.append(f"m{number}")
        remaining -= killed.is_set()


@pytest.mark.parametrize("instance", ["conversation-1", "agents-1", "llm_gateway-1", "nats-1"])
async def test_killed_process_loses_and_duplicates_no_answer(suite: Suite, instance: str) -> None:
    """Eight conversations ask continuously, so that the kill interrupts turns."""
    customers = [Customer(suite.url, f"customer-{number}") for number in range(8)]
    killed = asyncio.Event()
    answered: list[list[str]] = [[] for _ in customers]
    for customer in customers:
        await customer.connect()
        await customer.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            for customer, ids in zip(customers, answered, strict=True):
                tasks.create_task(keep_asking(customer, killed, ids))
            while min(map(len, answered)) < 2:
                await asyncio.sleep(0.01)
            pid = await asyncio.to_thread(suite.kill, instance)
            killed.set()
    finally:
        for customer in customers:
            await customer.__aexit__(None, None, None)
    for customer, ids in zip(customers, answered, strict=True):
        assert [message["in_reply_to"] for message in customer.frames_of("message")] == ids
    wait_until(lambda: suite.pid(instance) not in {0, pid}, f"{instance} is started again")
    assert suite.status()[instance]["restarts"] >= 1
    wait_until(lambda: suite.get("/v1/ops/status")["ready"], "everything is ready")
