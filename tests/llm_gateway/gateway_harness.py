"""What the gateway's tests share: orders, a gateway over given providers, and what the customer sees of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from trunkline_llm_gateway.app import make_provider
from trunkline_llm_gateway.application.gateway import Gateway
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.breaker import BreakerPolicy
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.config import NOTICE, GatewayConfig, ProviderConfig, RouteConfig
from trunkline_protocols.completion import Complete, Completed, DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId, TurnRef
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.turn import Delta

PASSAGE = Passage(document="refunds", title="Refunds", text="Refunds take 5 days.", score=1.0)
MODEL_TEXT = "Refunds take 5 days [1]."
QUOTED = f"{NOTICE} Refunds take 5 days."
PATIENT = BreakerPolicy(failures_in_a_row=1_000_000, least_calls=1_000_000)
"""A breaker that stays closed, for tests of what follows a failure."""


def order(turn: str = "c1-1", **changes: Any) -> Complete:
    """A customer's question, streamed."""
    asked = Complete(
        instructions="You are the refunds specialist.",
        question="How long do refunds take?",
        passages=[PASSAGE],
        abstain="I do not know.",
        stream_to=DeltaTarget(
            ref=TurnRef(conversation=ConversationId("c1"), turn=TurnId(turn), attempt=1, hop=0),
            ingress=Instance("ingress-1"),
        ),
    )
    return msgspec.structs.replace(asked, **changes)


def provider(name: str, url: str, **changes: Any) -> ProviderConfig:
    """A provider that is waited for, however slow the machine is."""
    settings: dict[str, Any] = {
        "kind": "openai",
        "models": ["small"],
        "input_cost_per_million": 1.0,
        "output_cost_per_million": 10.0,
        "first_token_timeout_s": 30.0,
        "idle_timeout_s": 30.0,
        **changes,
    }
    return ProviderConfig(name=name, base_url=url, **settings)


IMPATIENT: dict[str, Any] = {"first_token_timeout_s": 0.2, "idle_timeout_s": 0.2}
"""Settings for a provider that hangs."""


class Desk:
    """A gateway, and the deltas that it sent."""

    def __init__(self, config: GatewayConfig, policy: BreakerPolicy | None) -> None:
        rng = random.Random(1).random  # noqa: S311 - jitter, not secrets
        self.registry = ProviderRegistry(config, make_provider, rng, policy=policy)
        self.spending = Spending("llm_gateway-1")
        self.gateway = Gateway(self.registry, spending=self.spending, send=self._send, rng=rng)
        self.deltas: list[Delta] = []

    async def _send(self, _: str, delta: Delta) -> None:
        self.deltas.append(delta)

    async def answer(self, asked: Complete | None = None) -> Completed:
        """Have an order written."""
        reply = await self.gateway.complete(asked or order())
        assert isinstance(reply, Completed), reply
        return reply

    def shown(self, turn: str = "c1-1") -> str:
        """What the customer sees in the end."""
        text = ""
        for delta in self.deltas:
            if delta.ref.turn == turn:
                text = delta.text if delta.replace else text + delta.text
        return text

    def replaced(self) -> int:
        """How often a text that was shown was replaced by another."""
        return max(0, sum(delta.replace for delta in self.deltas) - 1)


@asynccontextmanager
async def desk(
    *providers: ProviderConfig, policy: BreakerPolicy | None = None, route: RouteConfig | None = None, **config: Any
) -> AsyncIterator[Desk]:
    """A gateway over these providers, in this order."""
    desk = Desk(GatewayConfig(provider=list(providers), route=[route] if route else [], **config), policy)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(desk.gateway.run())
            yield desk
            running.cancel()
    finally:
        await desk.registry.close()


def within(seconds: float) -> float:
    """A deadline."""
    return time.time() + seconds
