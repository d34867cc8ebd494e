"""A GPU host by address: it writes the answers and embeds, and the suite goes on when the host is lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.customer import Customer
from tests.support.embedders import LetterEmbedder
from tests.support.http_server import serve_http
from tests.support.model_server import ModelServer
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "models" / "gpu-host.toml"
QUESTIONS = (
    "I was charged twice for my order, can I get a refund?",
    "How long does a refund take to reach my bank account?",
)


@dataclass
class GpuHost:
    """A stand-in for the server of a GPU host: completions, and embeddings by the letters of a text."""

    models: ModelServer = field(default_factory=ModelServer)
    embedded: list[str] = field(default_factory=list)

    async def embed(self, request: web.Request) -> web.Response:
        """Answer as the embeddings API does."""
        texts = (await request.json())["input"]
        self.embedded += texts
        rows = LetterEmbedder().embed(texts).tolist()
        return web.json_response({"data": [{"index": at, "embedding": row} for at, row in enumerate(rows)]})

    def routes(self) -> list[web.RouteDef]:
        """Return the two routes."""
        return [web.post("/v1/chat/completions", self.models.complete), web.post("/v1/embeddings", self.embed)]


async def test_suite_answers_and_embeds_by_a_gpu_host_and_goes_on_without(tmp_path: Path) -> None:
    """First by the model of the host; then articles are found by their words, and quoted."""
    host = GpuHost()
    async with AsyncExitStack() as lost_later, AsyncExitStack() as stack:
        url = await lost_later.enter_async_context(serve_http(host.routes()))
        config = tmp_path / "models.toml"
        config.write_text(EXAMPLE.read_text().replace("http://10.0.0.7:8000", url))
        environment = {
            "TRUNKLINE_REGION": "eu",
            "TRUNKLINE_LLM_CONFIG": str(config),
            "TRUNKLINE_EMBEDDER": f"remote:{url}/v1",
            "TRUNKLINE_EMBEDDER_MODEL": "letters",
        }
        suite = await asyncio.to_thread(Suite, tmp_path / "suite", environment)
        stack.push_async_callback(asyncio.to_thread, suite.stop)
        customer = await stack.enter_async_context(Customer(suite.url))
        await customer.start()
        answer = await customer.ask("m1", QUESTIONS[0])
        assert answer["text"].startswith("Refunds take 5 days")
        assert QUESTIONS[0] in host.embedded
        requests = len(host.models.requests)
        assert requests > 0

        await lost_later.aclose()
        answer = await customer.ask("m2", QUESTIONS[1])
        assert answer["specialty"] == "billing"
        assert "Refunds take 5 days" not in answer["text"]
        assert answer["citations"]
        assert len(host.models.requests) == requests
