"""Load: Poisson arrivals in an open loop, so that a slow answer does not delay the next request."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from trunkline_agents.adapters.language_model import NatsLanguageModel
from trunkline_chassis.bus import Bus

from bench.llm_gateway.targets import REGION, Target, make_request

_READY_TIMEOUT_S = 120.0
_CANCEL_AFTER_S = 0.05


@dataclass(frozen=True)
class LoadResult:
    """Latencies and errors of a load."""

    latency_ms: dict[str, float] = field(default_factory=dict)
    """Latency of the client in milliseconds, by request name."""
    errors: list[str] = field(default_factory=list)


async def send_at_rate(send: Target, prefix: str, rate: float, duration_s: float) -> LoadResult:
    """Send `rate` requests per second, named by `prefix` and a number; the arrivals are the same in every run."""
    rng = random.Random(1)  # noqa: S311 - arrivals, not secrets
    result = LoadResult()

    async def send_one(name: str) -> None:
        started = time.perf_counter()
        try:
            await send(name)
        except Exception as error:  # any failure of any target counts as an error
            result.errors.append(f"{type(error).__name__}: {error}")
        else:
            result.latency_ms[name] = (time.perf_counter() - started) * 1000

    due = start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        number = 0
        while (due := due + rng.expovariate(rate)) < start + duration_s:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            number += 1
            tasks.create_task(send_one(f"{prefix}-{number}"))
    return result


async def wait_until_ready(send: Target) -> None:
    """Wait until a target answers; raise its error if it does not within two minutes."""
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while True:
        try:
            await send("warm-0")
        except Exception:  # a server that starts fails in its own way
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def cancel_midway(bus: Bus, model: str, runs: int) -> dict[str, float]:
    """Cancel requests in mid-answer as an agent does; return the monotonic times of cancellation by request name."""
    gateway = NatsLanguageModel(bus, REGION)
    cancelled_at: dict[str, float] = {}
    for number in range(runs):
        name = f"cancelled-{number}"
        completing = asyncio.ensure_future(gateway.complete(make_request(name, model)))
        await asyncio.sleep(_CANCEL_AFTER_S)
        cancelled_at[name] = time.monotonic()
        completing.cancel()
        await asyncio.wait([completing])
    return cancelled_at
