"""Targets of the load: the model itself, proxies before it, and the gateway."""

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
from trunkline_llm_gateway.adapters.config_file import load_config
from trunkline_llm_gateway.adapters.nats import delta_sender
from trunkline_llm_gateway.app import make_provider
from trunkline_llm_gateway.application.gateway import Gateway
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import Complete, Completed, CompletionReply, DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId, TurnRef

Target: TypeAlias = Callable[[str], Awaitable[None]]
"""Sends one named request; returns when the answer is complete, raises if it fails."""

KEY: Final = "sk-" + "0f1e2d3c4b5a6978" * 4
"""Key of the LiteLLM proxy, which does not start without one; it has no other use."""
REGION: Final = "bench"

_HEADERS: Final = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
_OK: Final = 200
_TIMEOUT_S: Final = 60.0


def over_http(session: aiohttp.ClientSession, url: str, model: str) -> Target:
    """Call an OpenAI-compatible server: the model itself, or a proxy before it."""

    async def send(name: str) -> None:
        message = {"role": "user", "content": name}
        body = {"model": model, "messages": [message], "stream": True, "stream_options": {"include_usage": True}}
        async with session.post(f"{url}/chat/completions", data=msgspec.json.encode(body), headers=_HEADERS) as answer:
            raw = await answer.read()
            if answer.status != _OK or b"[DONE]" not in raw:
                raise RuntimeError(f"{answer.status} {raw[:200]!r}")

    return send


def through_the_gateway(bus: Bus, model: str) -> Target:
    """Request a completion as an agent does, streamed to an ingress."""
    requester = WatchedRequester(bus)

    async def send(name: str) -> None:
        payload = codec.encode(make_request(name, model))
        _check(
            codec.completion_reply.decode(
                await requester.request(subjects.complete(REGION), payload, timeout_s=_TIMEOUT_S)
            )
        )

    return send


@asynccontextmanager
async def in_this_process(config: Path, bus: Bus, model: str) -> AsyncIterator[Target]:
    """Call a gateway in this process: the same code without the bus."""
    rng = random.Random(1).random  # noqa: S311 - jitter, not secrets
    registry = ProviderRegistry(load_config(config), make_provider, rng)
    gateway = Gateway(registry, spending=Spending(REGION), send=delta_sender(bus), rng=rng)

    async def send(name: str) -> None:
        _check(await gateway.complete(make_request(name, model)))

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gateway.run())
        yield send
        running.cancel()
        await registry.close()


def over_the_bus(bus: Bus) -> Target:
    """Send the gateway a request that it refuses at once: the round trip over the bus alone."""

    async def send(name: str) -> None:
        await bus.request(subjects.complete(REGION), b"{}" + name.encode(), timeout_s=_TIMEOUT_S)

    return send


def make_request(name: str, model: str) -> Complete:
    """Return the request of a streamed completion."""
    target = DeltaTarget(
        ref=TurnRef(conversation=ConversationId("bench"), turn=TurnId(name), attempt=1, hop=0),
        ingress=Instance("bench"),
        source=name,
    )
    return Complete(instructions="", text=name, model=model, stream_to=target, deadline_at=time.time() + _TIMEOUT_S)


def _check(reply: CompletionReply) -> None:
    """Raise unless the reply is a model's complete answer."""
    if not isinstance(reply, Completed) or reply.degraded:
        raise RuntimeError(str(reply)[:200])
