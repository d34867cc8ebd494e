"""Commits of a running suite, as a test reads them, and customers who add to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from trunkline_chassis.bus import connect
from trunkline_protocols import codec, subjects
from trunkline_protocols.log import Commit

from tests.support.customer import Customer
from tests.support.suite import Suite

CommitLog: TypeAlias = Callable[[], Awaitable[list[Commit]]]
"""Returns all commits since it was opened."""

QUESTION: Final = "I was charged twice for my order, can I get a refund?"


@asynccontextmanager
async def commit_log(suite: Suite) -> AsyncIterator[CommitLog]:
    """Yield a reader of all commits from now on."""
    bus = await connect(suite.nats_url(), "test")
    last = await bus.last_message("CONVERSATIONS", subjects.LOGS)

    async def read() -> list[Commit]:
        found = await bus.read_messages("CONVERSATIONS", subjects.LOGS, after=last.seq if last is not None else 0)
        return [codec.commit.decode(stored.payload) for stored in found]

    yield read
    await bus.close()


async def ask_once(suite: Suite) -> None:
    """Ask in a conversation of its own, and expect an answer."""
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", QUESTION)
