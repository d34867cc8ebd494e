"""What the LLM gateway costs: its time beside a direct call and the LiteLLM proxy, its CPU a request and a chunk.

    python bench/llm_gateway.py --rate 300 --duration 20 [--litellm PATH-OF-ITS-VENV]

A model server of this file's own streams chunks at a fixed pace and remembers how long each answer took it. The same
arrivals (Poisson, open loop) go to it several ways: directly with aiohttp, through the gateway in the asker's own
process, through the gateway's process (over NATS, as agents do), and through the LiteLLM proxy: at the same rate, and
with both at one that it can keep up with. Overhead is what the asker waited less what the model took. Then agents leave
in mid-answer, and the model notes when its connection is closed. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import msgspec
import psutil
import uvloop
from aiohttp import web
from trunkline_agents.adapters.nats import NatsColleagues
from trunkline_chassis.asking import Asker
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.logs import configure_logs
from trunkline_chassis.provision import provision
from trunkline_llm_gateway.adapters.nats import sender
from trunkline_llm_gateway.app import make_provider
from trunkline_llm_gateway.config import load_config
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.directory import Directory
from trunkline_llm_gateway.handlers import Gateway
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import Complete, Completed, CompletionReply, DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId
from trunkline_supervisor.adapters.nats_server import NatsNode, nats_server_command

Way: TypeAlias = Callable[[str], Awaitable[None]]
"""Asks once, under a name; returns when the whole answer is there."""

_PIECE = b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" token"}}]}\n\n'
_END = (
    b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"x","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9,'
    b'"total_tokens":18}}\n\ndata: [DONE]\n\n'
)
_WARM_UP_S = 2.0
_BEFORE_LEAVING_S = 0.05
_KEY = "sk-" + "0f1e2d3c4b5a6978" * 4
"""Of the proxy, which does not start without one; it opens nothing else."""


# -- the model ---


async def serve_model(port: int, pause_s: float) -> None:
    """Stream as many chunks as the model's name says, one each `pause_s`, and tell how long each answer took."""
    took_ms: dict[str, float] = {}
    left_at: dict[str, float] = {}

    async def complete(request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        body = msgspec.json.decode(await request.read())
        name, chunks = body["messages"][-1]["content"], int(body["model"].rpartition("-")[2])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        first = loop.time() + pause_s
        try:
            for number in range(chunks):
                await asyncio.sleep(max(0.0, first + number * pause_s - loop.time()))
                await response.write(_PIECE)
        except (asyncio.CancelledError, ConnectionError):
            left_at[name] = time.monotonic()
            raise
        took_ms[name] = (time.perf_counter() - started) * 1000
        await response.write(_END)
        return response

    async def times(_: web.Request) -> web.Response:
        told = msgspec.json.encode(took_ms)
        took_ms.clear()
        return web.Response(body=told)

    async def left(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(left_at))

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/times", times), web.get("/left", left)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


# -- the ways ---


def directly(session: aiohttp.ClientSession, url: str, model: str) -> Way:
    """Ask an OpenAI-compatible server."""

    async def ask(name: str) -> None:
        message = {"role": "user", "content": name}
        body = {"model": model, "messages": [message], "stream": True, "stream_options": {"include_usage": True}}
        async with session.post(f"{url}/chat/completions", data=msgspec.json.encode(body), headers=_JSON) as response:
            raw = await response.read()
            if response.status != 200 or b"[DONE]" not in raw:  # noqa: PLR2004
                raise RuntimeError(f"{response.status} {raw[:200]!r}")

    return ask


_JSON = {"Content-Type": "application/json", "Authorization": f"Bearer {_KEY}"}


def through_the_gateway(bus: Bus, model: str) -> Way:
    """Ask the gateway as an agent does, with the text streamed to an ingress."""
    asker = Asker(bus)

    async def ask(name: str) -> None:
        raw = await asker.ask(subjects.complete("bench"), codec.encode(order(name, model)), timeout_s=60)
        check(codec.completion_reply.decode(raw))

    return ask


def in_this_process(config: Path, bus: Bus, model: str) -> tuple[Way, Directory, asyncio.Task[None]]:
    """Ask a gateway of one's own: the same code without the way over the bus."""
    draw = random.Random(1).random  # noqa: S311 - jitter, not secrets
    directory = Directory(load_config(config), make_provider, draw)
    gateway = Gateway(directory, spending=Spending("bench"), send=sender(bus), draw=draw)

    async def ask(name: str) -> None:
        check(await gateway.complete(order(name, model)))

    return ask, directory, asyncio.ensure_future(gateway.run())


def order(name: str, model: str) -> Complete:
    """A streamed completion."""
    target = DeltaTarget(
        conversation=ConversationId("bench"),
        turn=TurnId(name),
        attempt=1,
        hop=0,
        ingress=Instance("bench"),
        source=name,
    )
    return Complete(instructions="", question=name, model=model, stream_to=target, deadline_at=time.time() + 60)


def check(reply: CompletionReply) -> None:
    """Count anything but a model's whole answer as an error."""
    if not isinstance(reply, Completed) or reply.degraded:
        raise RuntimeError(str(reply)[:200])


def over_the_bus(bus: Bus) -> Way:
    """Ask the gateway something that it refuses at once: what is left is the way there and back."""

    async def ask(name: str) -> None:
        await bus.request(subjects.complete("bench"), b"{}" + name.encode(), timeout_s=60)

    return ask


async def ask_at_rate(ask: Way, way: str, rate: float, duration_s: float) -> tuple[dict[str, float], list[str]]:
    """Ask at a fixed rate, whatever comes back; returns how long each took in milliseconds, and what failed."""
    random_ = random.Random(1)  # noqa: S311 - arrivals, not secrets
    waited_ms: dict[str, float] = {}
    errors: list[str] = []

    async def one(name: str) -> None:
        started = time.perf_counter()
        try:
            await ask(name)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        else:
            waited_ms[name] = (time.perf_counter() - started) * 1000

    due = start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        number = 0
        while (due := due + random_.expovariate(rate)) < start + duration_s:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            number += 1
            tasks.create_task(one(f"{way}-{number}"))
    return waited_ms, errors


# -- the run ---


async def run(options: argparse.Namespace, stack: ExitStack, folder: Path) -> dict[str, Any]:
    """Start the servers, ask all the ways one after another, and report."""
    model_port = free_port()
    node = NatsNode("nats-1", folder / "nats", free_port(), free_port())
    model_url = f"http://127.0.0.1:{model_port}/v1"
    start(stack, folder, [sys.executable, __file__, "--serve", str(model_port), "--pause-ms", str(options.pause_ms)])
    start(stack, folder, nats_server_command(node))
    many, few, endless = f"chunks-{options.chunks}", "chunks-1", "chunks-1000"
    config = folder / "llm.toml"
    config.write_text(
        f'[[provider]]\nname = "model"\nkind = "openai"\nbase_url = "{model_url}"\n'
        f'models = ["{many}", "{few}", "{endless}"]\nmax_concurrency = 2000\n'
    )
    bus = await connect(node.url, "bench")
    await provision(bus, region="bench", specialties=["triage"], replicas=1)
    settings = {"TRUNKLINE_NATS_URL": node.url, "TRUNKLINE_REGION": "bench", "TRUNKLINE_LLM_CONFIG": str(config)}
    gateway = start(stack, folder, [sys.executable, "-m", "trunkline_llm_gateway"], settings)
    report: dict[str, Any] = {key: getattr(options, key) for key in ("rate", "duration", "chunks", "pause_ms")}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        own, directory, running = in_this_process(config, bus, many)
        direct, whole = directly(session, model_url, many), through_the_gateway(bus, many)
        ways: list[tuple[str, Way, psutil.Process | None, float]] = [
            ("direct", direct, None, options.rate),
            ("in_process", own, None, options.rate),
            ("bus", over_the_bus(bus), None, options.rate),
            ("gateway", whole, gateway, options.rate),
            ("gateway_one_chunk", through_the_gateway(bus, few), gateway, options.rate),
        ]
        if options.litellm:
            url, proxy = start_litellm(stack, folder, options.litellm, model_url, many)
            slow, through = options.litellm_rate, directly(session, url, many)
            ways += [
                ("direct_slow", direct, None, slow),
                ("gateway_slow", whole, gateway, slow),
                ("litellm_slow", through, proxy, slow),
                ("litellm", through, proxy, options.rate),
            ]
        for name, ask, process, rate in ways:
            await ready(ask)
            await ask_at_rate(ask, "warm", rate / 4, _WARM_UP_S)
            await times(session, model_url)
            before = cpu_s(process)
            waited_ms, errors = await ask_at_rate(ask, name, rate, options.duration)
            used_s = cpu_s(process) - before
            report[name] = measured(waited_ms, await times(session, model_url), errors, used_s)
        report["abandoned_ms"] = await abandon(bus, session, model_url, endless, options.leavers)
        running.cancel()
        await directory.close()
    await bus.close()
    chunks = options.chunks - 1
    if chunks:
        more_us = (report["gateway"]["cpu_us_per_request"] - report["gateway_one_chunk"]["cpu_us_per_request"]) / chunks
        report["gateway_cpu_us_per_chunk"] = round(more_us, 1)
    report["gateway_own_ms"] = less(report["in_process"], report["direct"])
    report["gateway_with_bus_ms"] = less(report["gateway"], report["direct"])
    if "litellm" in report:
        report["litellm_own_ms"] = less(report["litellm"], report["direct"])
        report["litellm_own_slow_ms"] = less(report["litellm_slow"], report["direct_slow"])
        report["gateway_with_bus_slow_ms"] = less(report["gateway_slow"], report["direct_slow"])
    return report


async def abandon(
    bus: Bus, session: aiohttp.ClientSession, model_url: str, model: str, runs: int
) -> dict[str, float | int]:
    """Leave in mid-answer, as an agent whose turn is given up does; how long until the model's connection is closed."""
    colleagues = NatsColleagues(bus, "bench", search_timeout_s=1.0)
    gone_at: dict[str, float] = {}
    for number in range(runs):
        name = f"leaver-{number}"
        asking = asyncio.ensure_future(colleagues.complete(order(name, model)))
        await asyncio.sleep(_BEFORE_LEAVING_S)
        gone_at[name] = time.monotonic()
        asking.cancel()
        await asyncio.wait([asking])
    await asyncio.sleep(1.0)
    async with session.get(model_url.removesuffix("/v1") + "/left") as response:
        left_at = msgspec.json.decode(await response.read(), type=dict[str, float])
    took_ms = sorted((left_at[name] - at) * 1000 for name, at in gone_at.items() if name in left_at)
    return {
        "runs": runs,
        "closed": len(took_ms),
        "p50": round(took_ms[len(took_ms) // 2], 3),
        "max": round(took_ms[-1], 3),
    }


def less(way: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How much more one way takes than another, percentile by percentile."""
    return {at: round(ms - other["overhead_ms"][at], 3) for at, ms in way["overhead_ms"].items()}


def measured(
    waited_ms: dict[str, float], took_ms: dict[str, float], errors: list[str], used_s: float
) -> dict[str, Any]:
    """Sum up one way."""
    overhead = sorted(waited - took_ms.get(name, 0.0) for name, waited in waited_ms.items())
    return {
        "answered": len(waited_ms),
        "errors": len(errors),
        "error_samples": errors[:3],
        "overhead_ms": {
            f"p{percent}": round(overhead[min(len(overhead) - 1, len(overhead) * percent // 100)], 3)
            for percent in (50, 95, 99)
        }
        if overhead
        else {},
        "cpu_us_per_request": round(used_s * 1e6 / max(1, len(waited_ms)), 1),
    }


async def ready(ask: Way) -> None:
    """Wait until a way answers."""
    deadline = time.monotonic() + 120
    while True:
        try:
            await ask("warm-0")
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def times(session: aiohttp.ClientSession, model_url: str) -> dict[str, float]:
    """How long the model took for each answer since the last call, in milliseconds."""
    async with session.get(model_url.removesuffix("/v1") + "/times") as response:
        return msgspec.json.decode(await response.read(), type=dict[str, float])


def cpu_s(process: psutil.Process | None) -> float:
    """User and system time of a process and its children."""
    if process is None:
        return 0.0
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


def start(stack: ExitStack, folder: Path, command: list[str], settings: dict[str, str] | None = None) -> psutil.Process:
    """Start a process that ends with the bench."""
    log = stack.enter_context((folder / "log").open("ab"))
    environment = {**os.environ, **(settings or {})}
    process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    stack.callback(process.wait, 20)
    stack.callback(process.terminate)
    return psutil.Process(process.pid)


def start_litellm(stack: ExitStack, folder: Path, venv: Path, model_url: str, model: str) -> tuple[str, psutil.Process]:
    """Start the LiteLLM proxy of a virtual environment of its own before the same model."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n"
        f"      api_base: {model_url}\n      api_key: sk-none\nlitellm_settings:\n  telemetry: false\n"
    )
    command = [str(venv / "bin" / "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1", "LITELLM_LOG": "ERROR"}
    local["LITELLM_MASTER_KEY"] = _KEY
    return f"http://127.0.0.1:{port}/v1", start(stack, folder, command, local)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second")
    parser.add_argument("--duration", type=float, default=15.0, help="seconds for each way")
    parser.add_argument("--chunks", type=int, default=10, help="chunks of an answer")
    parser.add_argument("--pause-ms", type=float, default=10.0, help="the model's time for a chunk")
    parser.add_argument("--litellm", type=Path, help="virtual environment with litellm[proxy]")
    parser.add_argument("--litellm-rate", type=float, default=10.0, help="requests a second that it keeps up with")
    parser.add_argument("--leavers", type=int, default=100, help="answers that nobody waits for any more")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    configure_logs(service="bench", instance="bench", level="warning", style="console")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.serve:
            runner.run(serve_model(options.serve, options.pause_ms / 1000))
            return
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            report = runner.run(run(options, stack, Path(folder)))
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


if __name__ == "__main__":
    main()
