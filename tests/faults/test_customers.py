"""The customers of fault tests behave as clients do."""

from __future__ import annotations

import asyncio

from tests.faults.customers import CustomerPool
from tests.support.refusing_edge import ANSWER, serve_refusals


async def test_customers_send_a_refused_message_again_when_the_refusal_says() -> None:
    """Not before, not under another id, and the refusals are counted."""
    async with serve_refusals() as edge:
        pool = CustomerPool(edge.url, 1, seed=1)
        async with asyncio.TaskGroup() as tasks:
            running = await pool.open(tasks)
            await pool.customers[0].send_message("Where is my parcel?", due_at=0.0)
            await pool.wait_until_answered(timeout_s=30)
            for task in running:
                task.cancel()
        await pool.close()
        record = pool.customers[0].record
        assert [(message.answer, message.refusals) for message in record.messages] == [(ANSWER, 1)]
        assert record.violations == []
        edge.assert_heeded()
