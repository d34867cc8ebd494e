"""Closing a bus while its server ends too."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import UnexpectedEOF
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusUnavailableError
from trunkline_chassis.lifecycle import end_with_connection


def bus_that_closes_by(close: Any) -> Bus:
    """Return a bus whose client closes as given."""

    async def flush(timeout: int) -> None:  # noqa: ASYNC109 - the client's own signature
        del timeout

    bus = object.__new__(Bus)
    bus.client = SimpleNamespace(flush=flush, close=close)  # type: ignore[assignment]
    return bus


async def test_future_that_the_client_has_cancelled_is_no_cancellation() -> None:
    """As seen when the server closed the connection at the same moment: a suite ended with status 1."""

    async def close() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    await bus_that_closes_by(close).close()


async def test_cancellation_of_the_task_ends_a_close() -> None:
    """It is not swallowed."""
    task = asyncio.create_task(bus_that_closes_by(lambda: asyncio.sleep(60)).close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_process_ends_with_a_connection_that_the_client_has_closed(nats_url: str) -> None:
    """An error between two states closes the client of nats-py for good, although it reconnects without a limit."""
    bus = await connect(nats_url, "test")
    watching = asyncio.create_task(end_with_connection(bus))
    await asyncio.sleep(0)
    assert not watching.done()
    bus.client._status = Client.DISCONNECTED
    await bus.client._process_op_err(UnexpectedEOF())
    async with asyncio.timeout(10):
        with pytest.raises(BusUnavailableError, match="has closed its connection"):
            await watching
