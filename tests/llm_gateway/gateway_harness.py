"""Shared parts of the gateway's tests: requests, a gateway over given providers, and the text that a customer sees."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from trunkline_llm_gateway.app import make_provider
from trunkline_llm_gateway.application.gateway import Gateway
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.breaker import BreakerPolicy
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.config import DEFAULT_NOTICE, GatewayConfig, ProviderConfig, RouteConfig
from trunkline_protocols.completion import Complete, Completed, CompletionReply, DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId, TurnRef
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.turn import Delta

PASSAGE = Passage(document="refunds", title="Refunds", text="Refunds take 5 days.", score=1.0)
MODEL_TEXT = "Refunds take 5 days [1]."
FALLBACK_TEXT = f"{DEFAULT_NOTICE} Refunds take 5 days."
NEVER_OPENS = BreakerPolicy(max_consecutive_failures=1_000_000, min_calls=1_000_000)
"""A circuit breaker that stays closed, for tests of retries and failover."""
SHORT_TIMEOUTS: dict[str, Any] = {"first_token_timeout_s": 0.2, "idle_timeout_s": 0.2}
"""Settings for a provider that hangs."""


def make_request(turn: str = "c1-1", **changes: Any) -> Complete:
    """Return a streamed request of a customer's turn."""
    request = Complete(
        instructions="You are the refunds specialist.",
        text="How long do refunds take?",
        passages=[PASSAGE],
        abstain="I do not know.",
        stream_to=DeltaTarget(
            ref=TurnRef(conversation=ConversationId("c1"), turn=TurnId(turn), attempt=1, hop=0),
            ingress=Instance("ingress-1"),
        ),
    )
    return msgspec.structs.replace(request, **changes)


def provider_config(name: str, url: str, **changes: Any) -> ProviderConfig:
    """Return a provider whose timeouts no slow machine reaches."""
    settings: dict[str, Any] = {
        "kind": "openai",
        "models": ["small"],
        "input_cost_per_million": 1.0,
        "output_cost_per_million": 10.0,
        "connect_timeout_s": 30.0,
        "first_token_timeout_s": 30.0,
        "idle_timeout_s": 30.0,
        **changes,
    }
    return ProviderConfig(name=name, base_url=url, **settings)


class GatewayHarness:
    """A gateway and the deltas that it has sent."""

    def __init__(self, config: GatewayConfig, policy: BreakerPolicy | None) -> None:
        rng = random.Random(1).random  # noqa: S311 - jitter, not secrets
        self.registry = ProviderRegistry(config, make_provider, rng, policy=policy)
        self.spending = Spending("llm_gateway-1")
        self.gateway = Gateway(self.registry, spending=self.spending, send=self._send, rng=rng)
        self.deltas: list[Delta] = []
        self.completed: dict[str, str] = {}
        """Texts of completions by turn."""
        self.on_delta: Callable[[], None] = lambda: None

    async def _send(self, _: str, delta: Delta) -> None:
        self.deltas.append(delta)
        self.on_delta()

    async def complete(self, request: Complete | None = None) -> Completed:
        """Complete a request that must not be refused."""
        reply = await self.request(request or make_request())
        assert isinstance(reply, Completed), reply
        return reply

    async def request(self, request: Complete) -> CompletionReply:
        """Complete a request, and note its text as that of its turn."""
        reply = await self.gateway.complete(request)
        if isinstance(reply, Completed) and request.stream_to is not None and not reply.tool_calls:
            self.completed[request.stream_to.ref.turn] = reply.text
        return reply

    def displayed(self, turn: str = "c1-1") -> str:
        """Return the text that the customer finally sees: the deltas, and what the commit has beyond them."""
        text = ""
        for delta in self.deltas:
            if delta.ref.turn == turn:
                text = delta.text if delta.replace else text + delta.text
        whole = self.completed.get(turn, "")
        return whole if text and whole.startswith(text) else text

    def replacements(self) -> int:
        """Return how often a displayed text was replaced by another."""
        return max(0, sum(delta.replace for delta in self.deltas) - 1)


@asynccontextmanager
async def running_gateway(
    *providers: ProviderConfig, policy: BreakerPolicy | None = None, route: RouteConfig | None = None, **config: Any
) -> AsyncIterator[GatewayHarness]:
    """Run a gateway over these providers, in this order."""
    harness = GatewayHarness(GatewayConfig(provider=list(providers), route=[route] if route else [], **config), policy)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(harness.gateway.run())
            yield harness
            running.cancel()
    finally:
        await harness.registry.close()


def deadline_in(seconds: float) -> float:
    """Return a deadline as Unix time."""
    return time.time() + seconds
