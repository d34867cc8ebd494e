"""Arrivals: Poisson, in an open loop, so that a slow answer does not slow the next question down."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from trunkline_agents.adapters.nats import NatsColleagues
from trunkline_chassis.bus import Bus

from bench.llm_gateway.ways import REGION, Way, request

_READY_WITHIN_S = 120.0
_BEFORE_LEAVING_S = 0.05


@dataclass(frozen=True)
class Asked:
    """What came of a load."""

    waited_ms: dict[str, float] = field(default_factory=dict)
    """How long the asker waited, in milliseconds by the answer's name."""
    errors: list[str] = field(default_factory=list)


async def ask_at_rate(ask: Way, prefix: str, rate: float, duration_s: float) -> Asked:
    """Ask `rate` times a second, whatever comes back; `prefix` begins the names. The same arrivals every time."""
    rng = random.Random(1)  # noqa: S311 - arrivals, not secrets
    asked = Asked()

    async def one(name: str) -> None:
        started = time.perf_counter()
        try:
            await ask(name)
        except Exception as error:
            asked.errors.append(f"{type(error).__name__}: {error}")
        else:
            asked.waited_ms[name] = (time.perf_counter() - started) * 1000

    due = start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        number = 0
        while (due := due + rng.expovariate(rate)) < start + duration_s:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            number += 1
            tasks.create_task(one(f"{prefix}-{number}"))
    return asked


async def ready(ask: Way) -> None:
    """Wait until a way answers; raises what it says when it does not within two minutes."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            await ask("warm-0")
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def leave(bus: Bus, model: str, runs: int) -> dict[str, float]:
    """Leave in mid-answer, as an agent whose turn is given up does; returns when, as the machine's monotonic time."""
    colleagues = NatsColleagues(bus, REGION, search_timeout_s=1.0)
    gone_at: dict[str, float] = {}
    for number in range(runs):
        name = f"leaver-{number}"
        asking = asyncio.ensure_future(colleagues.complete(request(name, model)))
        await asyncio.sleep(_BEFORE_LEAVING_S)
        gone_at[name] = time.monotonic()
        asking.cancel()
        await asyncio.wait([asking])
    return gone_at
