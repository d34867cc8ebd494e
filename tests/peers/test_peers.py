"""The gateway before servers that nobody here wrote: the LiteLLM proxy, and llama.cpp with a tiny random model.

`./just peers` installs them into an environment of their own and runs this; elsewhere it is skipped, visibly.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from desk import desk, order, provider
from trunkline_protocols.knowledge import Refused
from trunkline_supervisor.adapters.tcp import free_port

PEERS = Path(os.environ.get("TRUNKLINE_PEERS", "/nowhere"))
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not (PEERS / "bin").is_dir(), reason="no TRUNKLINE_PEERS: run ./just peers"),
]
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
litellm_settings: {{num_retries: 0}}
"""
RANDOM_MODEL = """
import sys
import gguf, numpy
writer = gguf.GGUFWriter(sys.argv[1], "llama")
width, heads, layers, hidden = 64, 4, 2, 128
tokens = [b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % byte for byte in range(256)]
tokens += [("\\u2581" + word).encode() for word in ("the", "refund", "card", "days", "order", "money")]
kinds = [2, 3, 3] + [6] * 256 + [1] * 6
writer.add_context_length(4096); writer.add_embedding_length(width); writer.add_block_count(layers)
writer.add_feed_forward_length(hidden); writer.add_head_count(heads); writer.add_head_count_kv(heads)
writer.add_layer_norm_rms_eps(1e-5); writer.add_rope_dimension_count(width // heads)
writer.add_vocab_size(len(tokens))
writer.add_tokenizer_model("llama"); writer.add_token_list(tokens)
writer.add_token_scores([0.0] * len(tokens)); writer.add_token_types(kinds)
writer.add_bos_token_id(1); writer.add_eos_token_id(2); writer.add_unk_token_id(0)
draw = numpy.random.default_rng(1)
def put(name, *shape):
    writer.add_tensor(name, (draw.standard_normal(shape) * 0.1).astype(numpy.float32))
put("token_embd.weight", len(tokens), width); put("output.weight", len(tokens), width)
writer.add_tensor("output_norm.weight", numpy.ones(width, numpy.float32))
for number in range(layers):
    block = f"blk.{number}."
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(block + name + ".weight", numpy.ones(width, numpy.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        put(block + name + ".weight", width, width)
    put(block + "ffn_gate.weight", hidden, width); put(block + "ffn_up.weight", hidden, width)
    put(block + "ffn_down.weight", width, hidden)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
"""


async def serving(command: list[str], port: int, path: str, log: Path) -> AsyncIterator[str]:
    """Run a server until the test is done; its address once it answers."""
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)  # noqa: ASYNC220
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(150), aiohttp.ClientSession() as session:
            while True:
                assert process.poll() is None, log.read_text()[-3000:]  # noqa: ASYNC240
                try:
                    async with session.get(url + path) as response:
                        if response.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.3)
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
async def litellm(tmp_path: Path) -> AsyncIterator[str]:
    """The LiteLLM proxy with mock responses."""
    (tmp_path / "litellm.yaml").write_text(LITELLM)
    port = free_port()
    command = [str(PEERS / "bin" / "litellm"), "--config", str(tmp_path / "litellm.yaml"), "--port", str(port)]
    async for url in serving([*command, "--host", "127.0.0.1"], port, "/health/liveliness", tmp_path / "litellm.log"):
        yield url


@pytest.fixture
async def llama(tmp_path: Path) -> AsyncIterator[str]:
    """llama.cpp's server with two layers of noise."""
    model = tmp_path / "noise.gguf"
    subprocess.run([str(PEERS / "bin" / "python"), "-c", RANDOM_MODEL, str(model)], check=True)  # noqa: ASYNC221
    port = free_port()
    command = [str(PEERS / "bin" / "llama-cpp-server"), "-m", str(model), "--port", str(port), "--host", "127.0.0.1"]
    async for url in serving([*command, "--ctx-size", "4096"], port, "/health", tmp_path / "llama.log"):
        yield url


async def test_litellm_streams_and_fails(litellm: str, tmp_path: Path) -> None:
    """Text, a rate limit and an error, each as what it is; its mock answers stream no tool calls."""
    models = ["small", "limited", "broken"]
    (tmp_path / "key").write_text(KEY)
    proxy = provider("litellm", litellm, models=models, api_key_file=str(tmp_path / "key"))
    async with desk(proxy) as gateway:
        reply = await gateway.answer(order(model="small"))
        assert gateway.shown() == reply.text == TEXT
        assert reply.stop_reason == "stop"
        for model in ("limited", "broken"):
            failed = await gateway.gateway.complete(order(model=model, provider="litellm"))
            assert isinstance(failed, Refused)
            assert failed.code == "status"


async def test_llama_cpp_writes_through_the_gateway(llama: str) -> None:
    """Noise, but streamed, counted, ended for a reason, and gone on with from a prefix."""
    async with desk(provider("llama", llama, continues="prefill")) as gateway:
        reply = await gateway.answer(order(max_tokens=24))
        assert gateway.shown() == reply.text
        assert reply.text
        assert reply.stop_reason in {"stop", "length"}
        assert reply.usage.input_tokens > 0
        assert 0 < reply.usage.output_tokens <= 25
