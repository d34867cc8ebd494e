"""A refund by a tool call in a complete suite: the agent is killed in mid-call, the refund is issued once."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.support.customer import Customer
from tests.support.http_server import serve_http
from tests.support.model_server import event
from tests.support.shop import serve_shop
from tests.support.suite import AGENTS, Suite, run_cli

pytestmark = pytest.mark.processes

FLEET = Path(__file__).parents[2] / "fleet"
REFUND = "I was charged twice for my order, can I get a refund?"
TOOL_CALL = {"index": 0, "id": "call-1", "function": {"name": "issue-refund", "arguments": '{"order": "A-1"}'}}
TOOL = """
name = "issue-refund"
description = "Refund an order"
url = "{url}/orders/{{order}}/refunds"
timeout_s = 60
writes = true
idempotent = true
unbound = true
parameters = {{ type = "object", properties = {{ order = {{ type = "string" }} }}, required = ["order"] }}
"""


@asynccontextmanager
async def serve_refund_model() -> AsyncIterator[str]:
    """Serve a model that calls the refund tool, then answers with the tool's result."""

    async def complete(request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if body.get("tools") and not results:
            await response.write(
                event({"choices": [{"delta": {"tool_calls": [TOOL_CALL]}, "finish_reason": "tool_calls"}]})
            )
        else:
            delta = {"content": f"It is done: {results[-1] if results else 'nothing'}"}
            await response.write(event({"choices": [{"delta": delta, "finish_reason": "stop"}]}))
        await response.write(b"data: [DONE]\n\n")
        return response

    async with serve_http([web.post("/v1/chat/completions", complete)], cancels_handlers=False) as url:
        yield f"{url}/v1"


def fleet_with_refunds(folder: Path, shop_url: str) -> Path:
    """Write the demo fleet with a refund tool for billing agents."""
    shutil.copytree(FLEET, folder)
    (folder / "tools").mkdir()
    (folder / "tools" / "issue-refund.toml").write_text(TOOL.format(url=shop_url))
    for file in (folder / "agents" / "billing").glob("*.toml"):
        file.write_text('tools = ["issue-refund"]\n' + file.read_text())
    return folder


async def test_refund_is_issued_once_if_agent_and_conversation_process_are_killed(tmp_path: Path) -> None:
    """Both are killed before the shop responds: the retried call gets the first refund by its idempotency key.

    The trace shows one call, with the key that the shop received.
    """
    async with serve_shop() as shop, serve_refund_model() as model_url:
        shop.gate.clear()
        config = tmp_path / "llm.toml"
        config.write_text(f'[[provider]]\nname = "m"\nkind = "openai"\nbase_url = "{model_url}"\nmodels = ["small"]\n')
        fleet = await asyncio.to_thread(fleet_with_refunds, tmp_path / "fleet", shop.url)
        settings = {"TRUNKLINE_LLM_CONFIG": str(config), "TRUNKLINE_FLEET_DIR": str(fleet)}
        suite = await asyncio.to_thread(Suite, tmp_path / "suite", settings)
        try:
            async with Customer(suite.url) as customer:
                await customer.start()
                answering = asyncio.ensure_future(customer.ask("m1", REFUND))
                async with asyncio.timeout(60):
                    await shop.arrived.wait()
                for instance in AGENTS:
                    await asyncio.to_thread(suite.kill, instance)
                await asyncio.to_thread(suite.kill, "conversation-1")
                async with asyncio.timeout(60):
                    while len(shop.requests) < 2:
                        await asyncio.sleep(0.05)
                shop.gate.set()
                answer = await asyncio.wait_for(answering, 60)
            assert msgspec.json.decode(answer["text"].removeprefix("It is done: ")) == {"refund": "refund 1 of A-1"}
            assert shop.refunds == {"A-1": 1}
            (key,) = {headers["Idempotency-Key"] for _, _, headers, _ in shop.requests}
            traced = await asyncio.to_thread(run_cli, suite, "trace", customer.conversation, "--json")
            (step,) = [step for step in json.loads(traced.stdout)["steps"] if step["type"] == "tool"]
            assert (step["from"], step["to"]) == ("billing", "issue-refund")
            assert (step["detail"]["outcome"], step["detail"]["key"]) == ("done", key)
        finally:
            assert await asyncio.to_thread(suite.stop) == 0
