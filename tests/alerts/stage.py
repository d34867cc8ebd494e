"""A suite under observation: what a scenario needs to make a fault happen."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from trunkline_chassis.bus import Bus, connect

from tests.alerts.monitor import Monitor, until
from tests.support.customer import Customer
from tests.support.postgres import PostgresServer
from tests.support.suite import Suite

QUESTION: Final = "I was charged twice for my order, can I get a refund?"
FREE: Final = '[[provider]]\nname = "extractive"\nkind = "extractive"\n'
"""The model configuration without a fault."""
SuiteKind = Literal["single", "cluster", "tls", "default"]
"""With small bounds; with three NATS servers; with NATS over TLS; as a user starts it, for healthy load."""


class NotPossibleError(Exception):
    """The machine does not permit the fault; the message says what it needs."""


@dataclass(slots=True)
class Stage:
    """A running suite with its monitoring; scenarios of one kind of suite share it, one after another."""

    suite: Suite
    monitor: Monitor
    folder: Path
    postgres: PostgresServer | None = None
    began: float = field(default_factory=time.time)
    """When the suite was ready, by the wall clock."""

    @property
    def models(self) -> Path:
        """The model configuration."""
        return self.folder / "models.toml"

    async def configure_models(self, text: str) -> None:
        """Put a model configuration in force at both gateways."""
        logs = sorted((self.suite.data_dir / "logs").glob("llm_gateway-*.log"))

        def reloads() -> list[int]:
            return [log.read_text(errors="replace").count('"config.reloaded"') for log in logs]

        before = reloads()
        self.models.write_text(text, encoding="utf-8")
        await until(lambda: all(now > then for now, then in zip(reloads(), before, strict=True)), "gateways reload", 30)

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        """A connection that may write everything."""
        connection = await connect(await asyncio.to_thread(self.suite.nats_url), "tests")
        try:
            yield connection
        finally:
            await connection.close()

    async def write(self, subject: str, payload: bytes) -> None:
        """Append a message or a value to its stream."""
        async with self.bus() as bus:
            await bus.append(subject, payload, message_id=secrets.token_hex(8))

    async def say(self, stack: AsyncExitStack, text: str = QUESTION) -> Customer:
        """Send a message in a new conversation, without waiting for its answer; the customer stays with the stack."""
        customer = await stack.enter_async_context(Customer(self.suite.url, secrets.token_hex(4)))
        await customer.start()
        await customer.say("m1", text)
        await customer.until("accepted")
        return customer

    async def ask(self, count: int = 1, text: str = QUESTION) -> None:
        """Ask in conversations of their own, one after another, and expect answers."""
        for _ in range(count):
            async with Customer(self.suite.url, secrets.token_hex(4)) as customer:
                await customer.start()
                await customer.ask("m1", text)


Strike: TypeAlias = Callable[[Stage], AbstractAsyncContextManager[None]]
"""Makes the fault happen; it lasts until the alerts fire, and is mended at the end of the block."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault, the alerts that it must cause, and those that it may cause beside them."""

    name: str
    suite: SuiteKind
    strike: Strike
    alerts: tuple[str, ...]
    """Each must fire, and arrive at the receiver of its severity."""
    held_back: tuple[str, ...] = ()
    """Each must fire, and be held back by Alertmanager."""
    companions: Mapping[str, str] = field(default_factory=dict)
    """Further alerts that may fire, with the reason."""
    within_s: float = 60.0
    """Bound of the time from the fault to the last alert."""
