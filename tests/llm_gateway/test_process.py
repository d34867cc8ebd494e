"""The gateway process: reconfiguration without a restart, cancellation over the bus, metrics and presence."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from trunkline_agents.adapters.language_model import NatsLanguageModel
from trunkline_chassis.bus import Bus
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import Complete, Completed
from trunkline_supervisor.adapters.tcp import free_port

from tests.llm_gateway.gateway_harness import FALLBACK_TEXT, MODEL_TEXT, make_request
from tests.support.model_server import Fault, ModelServer, serve_model
from tests.support.nats import nats_server

pytestmark = pytest.mark.processes

PROVIDER = """
[[provider]]
name = "{name}"
kind = "openai"
base_url = "{url}"
api_key_env = "{key}"
models = ["small"]
input_cost_per_million = 1000.0
output_cost_per_million = 1000.0
"""


class GatewayProcess:
    """`python -m trunkline_llm_gateway` on a server of its own."""

    def __init__(self, nats_url: str, config: Path, log: Path, region: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = log
        environment = os.environ | {
            "TRUNKLINE_NATS_URL": nats_url,
            "TRUNKLINE_REGION": region,
            "TRUNKLINE_INSTANCE": f"llm-{region}",
            "TRUNKLINE_HTTP_PORT": str(port),
            "TRUNKLINE_LLM_CONFIG": str(config),
            "PRIMARY_KEY": "secret-key",
        }
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trunkline_llm_gateway"], env=environment, stdout=output, stderr=output
            )

    async def page(self, path: str) -> str:
        """Return one of its pages, empty if it does not listen yet."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
                return await response.text() if response.status == 200 else ""
        except aiohttp.ClientError:
            return ""

    async def ready(self) -> None:
        """Wait until it is ready."""
        while not await self.page("/readyz"):
            assert self.process.poll() is None, self.log.read_text()
            await asyncio.sleep(0.05)

    def stop(self) -> int:
        """Terminate it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """Serve a provider."""
    async with serve_model(ModelServer()) as server:
        yield server


@pytest.fixture
def nats_url(tmp_path: Path) -> Iterator[str]:
    """A server of this test alone: its account belongs to one region, and so do all processes that share it."""
    (tmp_path / "nats").mkdir()
    with nats_server(tmp_path / "nats") as url:
        yield url


@pytest.fixture
def region() -> str:
    """Return the region of the account."""
    return "local"


@pytest.fixture
async def start(nats_url: str, tmp_path: Path, region: str) -> AsyncIterator[Callable[[], GatewayProcess]]:
    """Start gateways that stop with the test, configured by `llm.toml` of its folder."""
    started: list[GatewayProcess] = []

    def start_one() -> GatewayProcess:
        started.append(GatewayProcess(nats_url, tmp_path / "llm.toml", tmp_path / "llm.log", region))
        return started[-1]

    yield start_one
    for gateway in started:
        gateway.stop()


def unrestricted_request(**changes: Any) -> Complete:
    """Return a request of a conversation without residency, with a deadline far away."""
    return make_request(region="local", deadline_at=time.time() + 30, **changes)


async def test_configuration_is_reloaded_and_an_invalid_one_is_rejected(
    bus: Bus, server: ModelServer, tmp_path: Path, region: str, start: Callable[[], GatewayProcess]
) -> None:
    """The active configuration stays; the log contains the fault, and never a key."""
    config = tmp_path / "llm.toml"
    config.write_text(PROVIDER.format(name="gone", url="http://127.0.0.1:1/v1", key="PRIMARY_KEY"))
    gateway = start()
    await gateway.ready()
    model = NatsLanguageModel(bus, region)

    async def provider_config() -> str:
        reply = await model.complete(unrestricted_request())
        assert isinstance(reply, Completed)
        return reply.provider

    assert await provider_config() == "extractive"
    config.write_text("[[provider]]\nname = 'x'\nkind = 'telepathy'\n")
    async with asyncio.timeout(20):
        while "telepathy" not in gateway.log.read_text():
            await asyncio.sleep(0.05)
    assert await provider_config() == "extractive"
    config.write_text(PROVIDER.format(name="primary", url=server.url, key="PRIMARY_KEY"))
    async with asyncio.timeout(20):
        while await provider_config() != "primary":
            await asyncio.sleep(0.05)
    assert gateway.stop() == 0
    assert server.headers[0]["Authorization"] == "Bearer secret-key"
    assert "secret-key" not in gateway.log.read_text()


async def test_trust_in_the_configuration_file_decides_about_personal_data(
    bus: Bus, server: ModelServer, tmp_path: Path, region: str, start: Callable[[], GatewayProcess]
) -> None:
    """Over the bus and HTTP: tokens reach the provider until the file trusts it; no log holds the data."""
    config = tmp_path / "llm.toml"
    provider = PROVIDER.format(name="primary", url=server.url, key="PRIMARY_KEY")
    config.write_text(f'countries = ["DE"]\n{provider}')
    gateway = start()
    await gateway.ready()
    model = NatsLanguageModel(bus, region)
    request = unrestricted_request(text="I am anna.lee@example.com, 030 901820")
    server.pieces = ("Dear [email", "_1], we call [phone_1].")

    async def answer() -> str:
        reply = await model.complete(request)
        assert isinstance(reply, Completed)
        return reply.text

    assert await answer() == "Dear anna.lee@example.com, we call 030 901820."
    assert server.requests[-1]["messages"][-1]["content"] == "I am [email_1], [phone_1]"
    config.write_text(f"{provider}trusted = true\n")
    async with asyncio.timeout(20):
        while await answer() != server.text:
            await asyncio.sleep(0.05)
    assert server.requests[-1]["messages"][-1]["content"] == request.text
    assert gateway.stop() == 0
    assert "anna.lee" not in gateway.log.read_text()


async def test_cancelled_agent_cancels_its_completion_upstream(
    bus: Bus, server: ModelServer, tmp_path: Path, region: str, start: Callable[[], GatewayProcess]
) -> None:
    """The cancellation reaches the provider's socket over the bus."""
    server.always = Fault("stall")
    (tmp_path / "llm.toml").write_text(PROVIDER.format(name="primary", url=server.url, key="PRIMARY_KEY"))
    gateway = start()
    await gateway.ready()
    model = NatsLanguageModel(bus, region)
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(model.complete(unrestricted_request(request_id="r1")))
        await server.arrived.wait()
        answering.cancel()
        async with asyncio.timeout(10):
            await server.disconnected.wait()


async def test_later_attempt_cancels_the_completion_of_the_earlier_one(
    bus: Bus, server: ModelServer, tmp_path: Path, region: str, start: Callable[[], GatewayProcess]
) -> None:
    """The agent that requested it has died: the agent that now has the turn cancels it."""
    server.faults.append(Fault("stall"))
    (tmp_path / "llm.toml").write_text(PROVIDER.format(name="primary", url=server.url, key="PRIMARY_KEY"))
    gateway = start()
    await gateway.ready()
    model = NatsLanguageModel(bus, region)
    first = unrestricted_request()
    assert first.stream_to is not None
    await bus.client.publish(subjects.complete(region), codec.encode(first), reply=bus.client.new_inbox())
    await asyncio.wait_for(server.arrived.wait(), 30)
    second = await model.complete(
        unrestricted_request(
            stream_to=msgspec.structs.replace(
                first.stream_to, ref=msgspec.structs.replace(first.stream_to.ref, attempt=2)
            )
        )
    )
    assert isinstance(second, Completed)
    assert second.text == MODEL_TEXT
    await asyncio.wait_for(server.disconnected.wait(), 30)


async def test_breaker_failures_tokens_and_cost_are_exported_and_the_budget_survives_a_restart(
    bus: Bus, server: ModelServer, tmp_path: Path, region: str, start: Callable[[], GatewayProcess]
) -> None:
    """With an exhausted budget no further request is sent to a paid provider."""
    tenant = region
    server.faults.append(Fault("server error"))
    budget = f'[[budget]]\ntenant = "{tenant}"\nusd_per_day = 1.0\n'
    (tmp_path / "llm.toml").write_text(PROVIDER.format(name="primary", url=server.url, key="PRIMARY_KEY") + budget)
    first = start()
    await first.ready()
    model = NatsLanguageModel(bus, region)
    reply = await model.complete(unrestricted_request(tenant=tenant))
    assert isinstance(reply, Completed)
    assert reply.text == MODEL_TEXT
    assert reply.usage.cost == pytest.approx(1.1)
    metrics = await first.page("/metrics")
    for line in (
        'trunkline_llm_breaker_state{model="small",provider="primary"} 0.0',
        'trunkline_llm_tokens_total{direction="output",model="small",provider="primary"} 100.0',
        'trunkline_llm_cost_total{model="small",provider="primary"} 1.1',
        'trunkline_llm_tokens_total{direction="input",model="small",provider="primary"} 1000.0',
        'trunkline_llm_request_seconds_count{model="small",provider="primary"} 1.0',
        'trunkline_llm_errors_total{code="status",model="small",provider="primary"} 1.0',
        'trunkline_first_token_seconds_count{provider="primary"} 1.0',
    ):
        assert line in metrics
    presences = PresenceRegistry()
    await presences.watch(bus)
    async with asyncio.timeout(20):
        while (presence := presences.get(f"llm-{region}")) is None or presence.detail != {"primary/small": "closed"}:
            await asyncio.sleep(0.05)
    assert first.stop() == 0
    second = start()
    await second.ready()
    exhausted = await model.complete(unrestricted_request(tenant=tenant))
    assert isinstance(exhausted, Completed)
    assert (exhausted.text, exhausted.degraded) == (FALLBACK_TEXT, "budget")
    assert len(server.requests) == 2
    others = await model.complete(make_request(tenant="other", deadline_at=time.time() + 30))
    assert isinstance(others, Completed)
    assert others.text == MODEL_TEXT
