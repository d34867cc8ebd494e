"""The gateway with third-party servers: the LiteLLM proxy, llm-katan, and llama.cpp with a model of noise.

`./just peers` installs them into a separate environment and runs these tests; otherwise they are skipped.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from trunkline_llm_gateway.ports import Call
from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.refusal import Refused
from trunkline_protocols.tool_steps import ToolOutcome, ToolStep
from trunkline_supervisor.adapters.tcp import free_port

from tests.llm_gateway.gateway_harness import make_request, provider_config, running_gateway

PEERS = Path(os.environ.get("TRUNKLINE_PEERS", "/nowhere"))
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not (PEERS / "bin").is_dir(), reason="no TRUNKLINE_PEERS: run ./just peers"),
]
LLAMA = PEERS / "bin" / "llama-server-vulkan"
"""The server of llama.cpp, built with Vulkan; it also runs without a graphics card."""
KEY = "sk-" + "0f1e2d3c4b5a6978" * 4
TEXT = "Refunds take five working days, as a rule, and go back to the card that was charged."
LITELLM = f"""
model_list:
  - model_name: small
    litellm_params: {{model: openai/small, api_key: none, mock_response: "{TEXT}"}}
  - model_name: limited
    litellm_params: {{model: openai/limited, api_key: none, mock_response: "litellm.RateLimitError"}}
  - model_name: broken
    litellm_params: {{model: openai/broken, api_key: none, mock_response: "litellm.InternalServerError"}}
  - model_name: breaking
    litellm_params: {{model: openai/breaking, api_key: none, mock_response: "Exception: mock_streaming_error"}}
  - model_name: tools
    litellm_params: {{model: anthropic/katan, api_base: "KATAN", api_key: none}}
litellm_settings: {{num_retries: 0, telemetry: false}}
"""
LOOK_UP = ToolSpec(
    name="look-up",
    description="Looks an order up.",
    parameters={"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
)
LOOKED_UP = '{"order": "test_order"}'
"""Arguments that llm-katan generates for that schema."""


class Servers:
    """Third-party servers, stopped at the end of the test."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack

    async def litellm(self, katan: str = "http://127.0.0.1:1") -> str:
        """Start the LiteLLM proxy, with mock answers and with llm-katan as its upstream for tools."""
        (config := self.folder / "litellm.yaml").write_text(LITELLM.replace("KATAN", katan))
        return f"{await self._start('litellm', ['--config', str(config)], '/health/liveliness')}/v1"

    async def katan(self) -> str:
        """Start llm-katan, which speaks the OpenAI and Anthropic APIs, echoes the prompt and calls the first tool."""
        arguments = ["--model", "katan", "--backend", "echo", "--providers", "openai,anthropic"]
        stats = ["--stats-file", str(self.folder / "stats.json"), "--max-concurrent", "8"]
        return await self._start("llm-katan", [*arguments, *stats], "/health")

    async def llama(self) -> str:
        """Start the server of llama.cpp with two layers of noise."""
        model, script = self.folder / "noise.gguf", Path(__file__).with_name("noise_model.py")
        subprocess.run([PEERS / "bin" / "python", script, model], check=True)  # noqa: ASYNC221 - it takes a second
        arguments = ["--model", str(model), "--ctx-size", "4096", "--threads", "2", "--device", "none"]
        return f"{await self._start(LLAMA.name, arguments, '/health')}/v1"

    async def _start(self, name: str, arguments: list[str], path: str) -> str:
        port, log = free_port(), self.folder / f"{name}.log"
        command = [str(PEERS / "bin" / name), *arguments, "--host", "127.0.0.1", "--port", str(port)]
        return await self._stack.enter_async_context(_serving(command, f"http://127.0.0.1:{port}", path, log))


@asynccontextmanager
async def _serving(command: list[str], url: str, path: str, log: Path) -> AsyncIterator[str]:
    """Run a server; yield its address once it is ready."""
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)  # noqa: ASYNC220
    try:
        async with asyncio.timeout(150), aiohttp.ClientSession() as session:
            while not await _is_ready(session, url + path):
                assert process.poll() is None, log.read_text()[-3000:]  # noqa: ASYNC240
                await asyncio.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """The servers that a test starts."""
    (tmp_path / "key").write_text(KEY)
    async with AsyncExitStack() as stack:
        yield Servers(tmp_path, stack)


async def test_litellm_streams_and_fails(servers: Servers) -> None:
    """Text, a rate limit, an error and a broken stream are each reported as such."""
    models = ["small", "limited", "broken", "breaking"]
    key = str(servers.folder / "key")
    proxy = provider_config("litellm", await servers.litellm(), models=models, api_key_file=key)
    async with running_gateway(proxy) as harness:
        reply = await harness.complete(make_request(model="small"))
        assert harness.displayed() == reply.text == TEXT
        assert reply.stop_reason == "stop"
        for model in ("limited", "broken", "breaking"):
            failed = await harness.gateway.complete(make_request(model=model, provider="litellm"))
            assert isinstance(failed, Refused)
            assert failed.code == "status"


async def test_litellm_passes_on_tool_calls_of_another_server(servers: Servers) -> None:
    """Two third-party servers in a chain: Anthropic events of one become OpenAI chunks of the other.

    Mock answers of LiteLLM stream no tool calls: `mock_completion` in its main.py reads `mock_tool_calls` only
    for unstreamed completions, and the gateway always streams.
    """
    key = str(servers.folder / "key")
    url = await servers.litellm(katan=await servers.katan())
    async with running_gateway(provider_config("litellm", url, models=["tools"], api_key_file=key)) as harness:
        reply = await harness.complete(make_request(tools=[LOOK_UP]))
        assert reply.stop_reason == "tool_calls"
        (call,) = reply.tool_calls
        assert call.id
        assert (call.name, msgspec.json.decode(call.arguments)) == ("look-up", msgspec.json.decode(LOOKED_UP))


async def test_anthropic_messages_of_another_server_are_decoded(servers: Servers) -> None:
    """Text, token counts, a tool call in pieces, and a request with its outcome."""
    key = str(servers.folder / "key")
    url = await servers.katan()
    async with running_gateway(
        provider_config("katan", url, kind="anthropic", models=["katan"], api_key_file=key)
    ) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text
        assert reply.text.endswith("User: How long do refunds take?")
        assert reply.stop_reason == "stop"
        assert reply.usage.input_tokens > 0
        assert reply.usage.output_tokens == len(reply.text.split())
        asked = await harness.complete(make_request("c1-2", tools=[LOOK_UP]))
        assert (asked.stop_reason, len(asked.tool_calls)) == ("tool_calls", 1)
        (call,) = asked.tool_calls
        assert (call.name, call.arguments) == ("look-up", LOOKED_UP)
        step = ToolStep(calls=asked.tool_calls, outcomes=[ToolOutcome(id=call.id, text="sent")], text=asked.text)
        answered = await harness.complete(make_request("c1-3", tool_steps=[step]))
        assert answered.stop_reason == "stop"


@pytest.mark.skipif(not LLAMA.exists(), reason="its wheel is for Linux on x86-64 only")
async def test_llama_cpp_writes_through_the_gateway(servers: Servers) -> None:
    """The noise is streamed, counted, ended with a reason and continued from a prefix."""

    async def ignore(_: str) -> None:
        pass

    async with running_gateway(provider_config("llama", await servers.llama(), continues="prefill")) as harness:
        model = harness.registry.client("llama").provider
        new, continued = [
            await model.complete(Call(make_request(temperature=0.0, max_tokens=8), "small", given), ignore)
            for given in ("", "Refunds take")
        ]
        assert continued.usage.input_tokens > new.usage.input_tokens
        reply = await harness.complete(make_request(max_tokens=24))
        assert harness.displayed() == reply.text
        assert reply.text
        assert reply.stop_reason in {"stop", "length"}
        assert reply.usage.input_tokens > 0
        assert 0 < reply.usage.output_tokens <= 25
