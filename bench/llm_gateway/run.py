"""One run: start the servers, measure the targets one after another, then the cancellations."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.provision import provision
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command
from trunkline_supervisor.adapters.tcp import free_port

from bench.llm_gateway import model
from bench.llm_gateway.load import cancel_midway, send_at_rate, wait_until_ready
from bench.llm_gateway.processes import Processes, cpu_s
from bench.llm_gateway.report import Measurement, compare, summarise, summarise_cancellations
from bench.llm_gateway.targets import REGION, Target, in_this_process, over_http, over_the_bus, through_the_gateway

_WARM_UP_S: Final = 2.0


@dataclass(frozen=True)
class Plan:
    """Parameters of a run. `rate`: requests per second; `slow_rate`: a rate that LiteLLM sustains.

    `rounds`: rounds over all targets; `duration_s`: seconds per target in a round; at the slow rate in a single round.
    """

    rate: float
    slow_rate: float
    rounds: int
    duration_s: float
    chunks: int
    pause_ms: float
    cancellations: int
    litellm: str = ""
    """Virtual environment of the LiteLLM proxy; empty: not measured."""


@dataclass(frozen=True)
class Scenario:
    """One target at one rate; `process` is the one between client and model."""

    name: str
    send: Target
    rate: float
    process: psutil.Process | None = None


class Runner:
    """Measures targets before the same model, one after another."""

    def __init__(self, session: aiohttp.ClientSession, model_url: str) -> None:
        """`session` fetches the model's own times."""
        self._session = session
        self._model_url = model_url

    async def measure(self, scenarios: list[Scenario], *, rounds: int, duration_s: float) -> dict[str, Any]:
        """Measure all scenarios in `rounds` rounds, so that drift of the machine's speed affects all of them."""
        # Start-up costs CPU: it must not fall into the first measurement.
        for scenario in scenarios:
            await wait_until_ready(scenario.send)
        measurements: defaultdict[str, Measurement] = defaultdict(Measurement)
        for number in range(rounds):
            for scenario in scenarios:
                prefix = f"{scenario.name}-{number}"
                await self._measure_round(measurements[scenario.name], scenario, prefix, duration_s)
        return {name: summarise(measurement) for name, measurement in measurements.items()}

    async def measure_cancellations(self, bus: Bus, model_name: str, count: int) -> dict[str, float]:
        """Cancel requests in mid-answer and measure when the model's connections are closed."""
        cancelled_at = await cancel_midway(bus, model_name, count)
        await asyncio.sleep(1.0)
        return summarise_cancellations(cancelled_at, await model.fetch_closed(self._session, self._model_url))

    async def _measure_round(
        self, measurement: Measurement, scenario: Scenario, prefix: str, duration_s: float
    ) -> None:
        await send_at_rate(scenario.send, "warm", scenario.rate / 4, _WARM_UP_S)
        await model.fetch_durations(self._session, self._model_url)
        before_s = cpu_s(scenario.process)
        result = await send_at_rate(scenario.send, prefix, scenario.rate, duration_s)
        measurement.add(
            result, await model.fetch_durations(self._session, self._model_url), cpu_s(scenario.process) - before_s
        )


async def run(plan: Plan, stack: ExitStack, folder: Path) -> dict[str, Any]:
    """Start the servers, measure all targets, and return the report."""
    processes = Processes(stack, folder)
    model_port, proxy_port = free_port(), free_port()
    node = NatsNode("nats-1", folder / "nats", free_port())
    model_url = f"http://127.0.0.1:{model_port}/v1"
    processes.python("bench.llm_gateway.model", str(model_port), str(plan.pause_ms))
    processes.start(nats_server_command(node))
    bare_proxy = processes.python("bench.llm_gateway.bare_proxy", str(proxy_port), model_url)
    many, few, endless = f"chunks-{plan.chunks}", "chunks-1", "chunks-1000"
    config = _write_config(folder / "llm.toml", model_url, [many, few, endless])
    bus = await connect(node.url, REGION)
    await provision(bus, region=REGION, specialties=["triage"], replicas=1)
    gateway = processes.gateway(node.url, config)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        in_this_process(config, bus, many) as own,
    ):
        runner = Runner(session, model_url)
        direct = Scenario("direct", over_http(session, model_url, many), plan.rate)
        proxied = Scenario(
            "bare_proxy", over_http(session, f"http://127.0.0.1:{proxy_port}/v1", many), plan.rate, bare_proxy
        )
        over_nats = Scenario("gateway", through_the_gateway(bus, many), plan.rate, gateway)
        quick = [
            direct,
            proxied,
            Scenario("in_process", own, plan.rate),
            Scenario("bus", over_the_bus(bus), plan.rate),
            over_nats,
            Scenario("gateway_one_chunk", through_the_gateway(bus, few), plan.rate, gateway),
        ]
        targets = await runner.measure(quick, rounds=plan.rounds, duration_s=plan.duration_s)
        if plan.litellm:
            url, litellm = processes.litellm(Path(plan.litellm), model_url, many)
            over_litellm = over_http(session, url, many)
            compared = [
                *(_at_rate(scenario, plan.slow_rate) for scenario in (direct, proxied, over_nats)),
                Scenario("litellm_slow", over_litellm, plan.slow_rate, litellm),
                Scenario("litellm", over_litellm, plan.rate, litellm),
            ]
            targets |= await runner.measure(compared, rounds=1, duration_s=plan.rounds * plan.duration_s)
        cancellations_ms = await runner.measure_cancellations(bus, endless, plan.cancellations)
    await bus.close()
    return {
        "plan": asdict(plan),
        "targets": targets,
        "differences": compare(targets, plan.chunks),
        "cancellations_ms": cancellations_ms,
    }


def _at_rate(scenario: Scenario, rate: float) -> Scenario:
    return replace(scenario, name=f"{scenario.name}_slow", rate=rate)


def _write_config(file: Path, model_url: str, models: list[str]) -> Path:
    file.write_text(
        f'[[provider]]\nname = "model"\nkind = "openai"\nbase_url = "{model_url}"\n'
        f"models = {models}\nmax_concurrency = 2000\n"
    )
    return file
