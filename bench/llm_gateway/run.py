"""One run: the servers, then the ways one after another, then the leavers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from trunkline_chassis.bus import connect
from trunkline_chassis.provision import provision
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

from bench.llm_gateway import model
from bench.llm_gateway.load import ask_at_rate, leave, ready
from bench.llm_gateway.processes import Processes, cpu_s
from bench.llm_gateway.report import Taken, abandoned, compared, measured
from bench.llm_gateway.ways import REGION, Way, in_this_process, over_http, over_the_bus, through_the_gateway

_WARM_UP_S: Final = 2.0


@dataclass(frozen=True)
class Plan:
    """What is asked. `rate`: requests a second; `slow_rate`: one that LiteLLM keeps up with.

    `rounds`: how often all ways are gone over, `duration_s`: a way in a round; at the slow rate all at once.
    """

    rate: float
    slow_rate: float
    rounds: int
    duration_s: float
    chunks: int
    pause_ms: float
    leavers: int
    litellm: str = ""
    """Virtual environment of the LiteLLM proxy; empty: it is not asked."""


@dataclass(frozen=True)
class Course:
    """One way at one rate; `process` is what is between asker and model."""

    name: str
    ask: Way
    rate: float
    process: psutil.Process | None = None


class Measure:
    """Asks before the same model, one way after another."""

    def __init__(self, session: aiohttp.ClientSession, model_url: str) -> None:
        """`session` asks the model for its times."""
        self._session = session
        self._model_url = model_url

    async def ways(self, courses: list[Course], *, rounds: int, duration_s: float) -> dict[str, Any]:
        """Go over all courses `rounds` times, so that each has its share of the machine's better and worse seconds."""
        # Starting costs CPU: who is measured first must not pay for who is asked last.
        for course in courses:
            await ready(course.ask)
        taken: defaultdict[str, Taken] = defaultdict(Taken)
        for number in range(rounds):
            for course in courses:
                await self._take(taken[course.name], course, f"{course.name}-{number}", duration_s)
        return {name: measured(each) for name, each in taken.items()}

    async def _take(self, taken: Taken, course: Course, prefix: str, duration_s: float) -> None:
        await ask_at_rate(course.ask, "warm", course.rate / 4, _WARM_UP_S)
        await model.times(self._session, self._model_url)
        before_s = cpu_s(course.process)
        asked = await ask_at_rate(course.ask, prefix, course.rate, duration_s)
        taken.add(asked, await model.times(self._session, self._model_url), cpu_s(course.process) - before_s)


async def run(plan: Plan, stack: ExitStack, folder: Path) -> dict[str, Any]:
    """Start the servers, ask all the ways one after another, and report."""
    processes = Processes(stack, folder)
    model_port, proxy_port = free_port(), free_port()
    node = NatsNode("nats-1", folder / "nats", free_port(), free_port())
    model_url = f"http://127.0.0.1:{model_port}/v1"
    processes.python("bench.llm_gateway.model", str(model_port), str(plan.pause_ms))
    processes.start(nats_server_command(node))
    bare_proxy = processes.python("bench.llm_gateway.bare_proxy", str(proxy_port), model_url)
    many, few, endless = f"chunks-{plan.chunks}", "chunks-1", "chunks-1000"
    config = folder / "llm.toml"
    config.write_text(
        f'[[provider]]\nname = "model"\nkind = "openai"\nbase_url = "{model_url}"\n'
        f'models = ["{many}", "{few}", "{endless}"]\nmax_concurrency = 2000\n'
    )
    bus = await connect(node.url, REGION)
    await provision(bus, region=REGION, specialties=["triage"], replicas=1)
    settings = {"TRUNKLINE_NATS_URL": node.url, "TRUNKLINE_REGION": REGION, "TRUNKLINE_LLM_CONFIG": str(config)}
    gateway = processes.python("trunkline_llm_gateway", settings=settings)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        in_this_process(config, bus, many) as own,
    ):
        direct, whole = over_http(session, model_url, many), through_the_gateway(bus, many)
        bare = over_http(session, f"http://127.0.0.1:{proxy_port}/v1", many)
        measure = Measure(session, model_url)
        quick = [
            Course("direct", direct, plan.rate),
            Course("bare_proxy", bare, plan.rate, bare_proxy),
            Course("in_process", own, plan.rate),
            Course("bus", over_the_bus(bus), plan.rate),
            Course("gateway", whole, plan.rate, gateway),
            Course("gateway_one_chunk", through_the_gateway(bus, few), plan.rate, gateway),
        ]
        ways = await measure.ways(quick, rounds=plan.rounds, duration_s=plan.duration_s)
        if plan.litellm:
            url, litellm = processes.litellm(Path(plan.litellm), model_url, many)
            through = over_http(session, url, many)
            slow = [
                Course("direct_slow", direct, plan.slow_rate),
                Course("bare_proxy_slow", bare, plan.slow_rate, bare_proxy),
                Course("gateway_slow", whole, plan.slow_rate, gateway),
                Course("litellm_slow", through, plan.slow_rate, litellm),
                Course("litellm", through, plan.rate, litellm),
            ]
            ways |= await measure.ways(slow, rounds=1, duration_s=plan.rounds * plan.duration_s)
        gone_at = await leave(bus, endless, plan.leavers)
        await asyncio.sleep(1.0)
        left_at = await model.left(session, model_url)
    await bus.close()
    return {
        "plan": asdict(plan),
        "ways": ways,
        "compared": compared(ways, plan.chunks),
        "abandoned_ms": abandoned(gone_at, left_at),
    }
