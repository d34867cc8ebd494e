"""The ways to ask the model."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import aiohttp
import msgspec
from trunkline_chassis.bus import Bus
from trunkline_chassis.watched_requests import WatchedRequester
from trunkline_llm_gateway.adapters.nats import sender
from trunkline_llm_gateway.app import make_provider
from trunkline_llm_gateway.application.gateway import Gateway
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.config import load_config
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import Complete, Completed, CompletionReply, DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId, TurnRef

Way: TypeAlias = Callable[[str], Awaitable[None]]
"""Asks once, under a name; returns when the whole answer is there, and raises when it does not come."""

KEY: Final = "sk-" + "0f1e2d3c4b5a6978" * 4
"""Of the LiteLLM proxy, which does not start without one; it opens nothing else."""
REGION: Final = "bench"

_HEADERS: Final = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
_OK: Final = 200
_PATIENCE_S: Final = 60.0


def over_http(session: aiohttp.ClientSession, url: str, model: str) -> Way:
    """Ask an OpenAI-compatible server: the model itself, or a proxy before it."""

    async def ask(name: str) -> None:
        message = {"role": "user", "content": name}
        body = {"model": model, "messages": [message], "stream": True, "stream_options": {"include_usage": True}}
        async with session.post(f"{url}/chat/completions", data=msgspec.json.encode(body), headers=_HEADERS) as answer:
            raw = await answer.read()
            if answer.status != _OK or b"[DONE]" not in raw:
                raise RuntimeError(f"{answer.status} {raw[:200]!r}")

    return ask


def through_the_gateway(bus: Bus, model: str) -> Way:
    """Ask the gateway as an agent does, with the text streamed to an ingress."""
    requester = WatchedRequester(bus)

    async def ask(name: str) -> None:
        payload = codec.encode(request(name, model))
        _check(
            codec.completion_reply.decode(
                await requester.request(subjects.complete(REGION), payload, timeout_s=_PATIENCE_S)
            )
        )

    return ask


@asynccontextmanager
async def in_this_process(config: Path, bus: Bus, model: str) -> AsyncIterator[Way]:
    """Ask a gateway of one's own: the same code without the way over the bus."""
    rng = random.Random(1).random  # noqa: S311 - jitter, not secrets
    registry = ProviderRegistry(load_config(config), make_provider, rng)
    gateway = Gateway(registry, spending=Spending(REGION), send=sender(bus), rng=rng)

    async def ask(name: str) -> None:
        _check(await gateway.complete(request(name, model)))

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gateway.run())
        yield ask
        running.cancel()
        await registry.close()


def over_the_bus(bus: Bus) -> Way:
    """Ask the gateway something that it refuses at once: what is left is the way there and back."""

    async def ask(name: str) -> None:
        await bus.request(subjects.complete(REGION), b"{}" + name.encode(), timeout_s=_PATIENCE_S)

    return ask


def request(name: str, model: str) -> Complete:
    """Make the order of a streamed completion."""
    target = DeltaTarget(
        ref=TurnRef(conversation=ConversationId("bench"), turn=TurnId(name), attempt=1, hop=0),
        ingress=Instance("bench"),
        source=name,
    )
    return Complete(
        instructions="", question=name, model=model, stream_to=target, deadline_at=time.time() + _PATIENCE_S
    )


def _check(reply: CompletionReply) -> None:
    """Count anything but a model's whole answer as an error."""
    if not isinstance(reply, Completed) or reply.degraded:
        raise RuntimeError(str(reply)[:200])
