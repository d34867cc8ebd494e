"""An outage of PostgreSQL under load: customers are unaffected, and no audit row is lost."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from tests.support.customer import Customer
from tests.support.postgres import PostgresServer
from tests.support.suite import Suite

pytestmark = pytest.mark.processes

OUTAGE_S = 10.0
REFUND = "I was charged twice for my order, can I get a refund?"


async def test_outage_of_ten_seconds_under_load_loses_no_row(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An external PostgreSQL is stopped and started again while customers send messages."""
    environment = {"TRUNKLINE_POSTGRES_DSN": postgres.dsn, "TRUNKLINE_MESSAGES_PER_S": "1000"}
    suite = await asyncio.to_thread(Suite, tmp_path_factory.mktemp("outage"), environment)
    try:
        customers = [Customer(suite.url, f"customer-{number}") for number in range(4)]
        expected: list[str] = []
        for customer in customers:
            await customer.connect()
            await customer.start()
        await asyncio.to_thread(postgres.stop)
        until = time.monotonic() + OUTAGE_S
        number = 0
        while time.monotonic() < until:
            number += 1
            for customer in customers:
                await customer.ask(f"m{number}", REFUND)
                expected.append(customer.conversation)
        await postgres.start()
        for customer in customers:
            await customer.ask("last", REFUND)
            expected.append(customer.conversation)
            await customer.__aexit__(None, None, None)
        rows = await message_rows(postgres.dsn, at_least=2 * len(expected))
    finally:
        assert await asyncio.to_thread(suite.stop) == 0
    for role in ("customer", "agent"):
        turns = [(row["conversation"], row["turn"]) for row in rows if row["role"] == role]
        assert len(set(turns)) == len(turns)
        assert sorted(conversation for conversation, _ in turns) == sorted(expected)


async def message_rows(dsn: str, *, at_least: int) -> list[asyncpg.Record]:
    """Wait until PostgreSQL has at least this many rows, and return them."""
    async with asyncio.timeout(60):
        while True:
            try:
                connection = await asyncpg.connect(dsn)
                try:
                    rows = await connection.fetch("SELECT conversation, turn, role FROM conversation_messages")
                finally:
                    await connection.close()
            except (OSError, asyncpg.PostgresError):
                rows = []
            if len(rows) >= at_least:
                return list(rows)
            await asyncio.sleep(0.2)
