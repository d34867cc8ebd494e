"""Traces of a complete suite, received by a collector: one turn is one trace, whatever is killed meanwhile.

A model hands the first turn to another specialty, whose agent uses a tool and consults a specialist. The texts of the
customer, the model, the tool and the specialist contain a canary.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web

from tests.support.customer import Customer
from tests.support.http_server import serve_http
from tests.support.model_server import event
from tests.support.otlp import Collector, Received, serve_collector
from tests.support.shop import serve_shop
from tests.support.suite import AGENTS, Suite

pytestmark = pytest.mark.processes

FLEET: Final = Path(__file__).parents[2] / "fleet"
CANARY: Final = "Wilhelmina"
REFUND: Final = f"I was charged twice for my order, can I get a refund? Regards, {CANARY}"
ORDER: Final = f"A-{CANARY}"
USING_TOOL: Final = "execute_tool issue-refund"
CHECKED: Final = {"message.accept", "inbox.append", "turn.process", "turn.commit", USING_TOOL}
TIMEOUT_S: Final = 60
TOOL: Final = """
name = "issue-refund"
description = "Refund an order"
url = "{url}/orders/{{order}}/refunds"
timeout_s = 60
writes = true
idempotent = true
unbound = true
parameters = {{ type = "object", properties = {{ order = {{ type = "string" }} }}, required = ["order"] }}
"""


def _call(number: int, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    text = msgspec.json.encode(arguments).decode()
    return {"index": number, "id": f"call-{number}", "function": {"name": name, "arguments": text}}


_HANDOFF: Final = [_call(0, "handoff", {"specialty": "technical", "reason": f"about {CANARY}"})]
_WORK: Final = [
    _call(0, "issue-refund", {"order": ORDER}),
    _call(1, "consult", {"specialty": "account", "question": f"Who is {CANARY}?"}),
]


@asynccontextmanager
async def serve_model() -> AsyncIterator[str]:
    """Serve a model that has billing hand off, and others refund and consult; then it answers."""

    async def complete(request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        offered = {tool["function"]["name"] for tool in body.get("tools", ())}
        has_results = any(message["role"] == "tool" for message in body["messages"])
        calls = [] if has_results or not offered else _HANDOFF if "handoff" in offered else _WORK
        delta = {"tool_calls": calls} if calls else {"content": f"Dear {CANARY}, it is done."}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event({"choices": [{"delta": delta}]}))
        usage = {"prompt_tokens": 700, "completion_tokens": 30}
        reason = "tool_calls" if calls else "stop"
        await response.write(event({"choices": [{"delta": {}, "finish_reason": reason}], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
        return response

    async with serve_http([web.post("/v1/chat/completions", complete)], cancels_handlers=False) as url:
        yield f"{url}/v1"


def _fleet(folder: Path, shop_url: str) -> Path:
    """Write the demo fleet with tools for billing and technical agents."""
    shutil.copytree(FLEET, folder)
    (folder / "tools").mkdir()
    (folder / "tools" / "issue-refund.toml").write_text(TOOL.format(url=shop_url))
    for specialty, tools in (("billing", '["handoff"]'), ("technical", '["issue-refund", "consult"]')):
        for file in (folder / "agents" / specialty).glob("*.toml"):
            file.write_text(f"tools = {tools}\n" + file.read_text())
    return folder


async def _turn(collector: Collector, conversation: str, *, is_whole: bool) -> list[Received]:
    """Return the spans of the only trace of a conversation, once its last commit and all that is checked have arrived.

    Each process sends its spans at a time of its own, so that the commit may arrive before the tool.

    `is_whole`: once every parent and the calls of all gateways have arrived too, which a killed process may have taken
    with it.
    """

    def is_complete() -> bool:
        mine = [span for span in collector.spans if span.attributes.get("gen_ai.conversation.id") == conversation]
        traces = {span.trace for span in mine if span.name == "turn.process"}
        found = [span for span in collector.spans if span.trace in traces]
        kinds = {span.attributes.get("trunkline.commit.kind") for span in found}
        missing = {span.parent for span in found if span.parent} - {span.id for span in found}
        names = {span.name for span in found}
        is_all = not missing and _reasons(found) >= REASONS
        return "turn" in kinds and names >= CHECKED and _services(found) >= FIVE and (is_all or not is_whole)

    async with asyncio.timeout(TIMEOUT_S):
        while not is_complete():
            await asyncio.sleep(0.1)
    return collector.trace("gen_ai.conversation.id", conversation)


FIVE: Final = {"ingress", "conversation", "agents", "rag", "llm_gateway"}
REASONS: Final = {("tool_calls",), ("stop",)}
"""Reasons for which the model ends its answers: each may be in another gateway."""


def _services(spans: Iterable[Received]) -> set[str]:
    return {span.service for span in spans}


def _reasons(spans: list[Received]) -> set[tuple[str, ...]]:
    return {tuple(chat.attributes["gen_ai.response.finish_reasons"]) for chat in _named(spans, "chat small")}


def _named(spans: list[Received], name: str) -> list[Received]:
    return [span for span in spans if span.name == name]


async def test_turn_is_one_trace_over_all_processes(tmp_path: Path) -> None:
    """With handoff, consultation and tool; after a kill of the agents; with a collector that hangs at the end."""
    async with serve_shop() as shop, serve_model() as model_url, serve_collector() as collector:
        config = tmp_path / "llm.toml"
        config.write_text(f'[[provider]]\nname = "m"\nkind = "openai"\nbase_url = "{model_url}"\nmodels = ["small"]\n')
        fleet = await asyncio.to_thread(_fleet, tmp_path / "fleet", shop.url)
        settings = {
            "TRUNKLINE_LLM_CONFIG": str(config),
            "TRUNKLINE_FLEET_DIR": str(fleet),
            "TRUNKLINE_TRACES_URL": collector.url,
            "TRUNKLINE_TRACES_SAMPLING": "1",
        }
        suite = await asyncio.to_thread(Suite, tmp_path / "suite", settings)
        try:
            async with Customer(suite.url) as customer:
                await customer.start()
                assert CANARY in (await customer.ask("m1", REFUND))["text"]
                assert [frame["to"] for frame in customer.frames_of("handoff")] == ["technical"]
            _check_turn(await _turn(collector, customer.conversation, is_whole=True))
            await _check_killed_agents(suite, collector, shop)
            assert not [body for body in collector.bodies if CANARY.encode() in body]
            collector.gate.clear()
            async with Customer(suite.url) as customer:
                await customer.start()
                await customer.ask("m1", REFUND)
        finally:
            # While the collector holds every request back.
            assert await asyncio.to_thread(suite.stop) == 0


def _check_turn(spans: list[Received]) -> None:
    """Check the tree of the first turn: every parent is there, from the root to the tool."""
    ids = {span.id: span for span in spans}
    assert len(ids) == len(spans)
    (root,) = [span for span in spans if not span.parent]
    assert (root.service, root.name) == ("ingress", "message.accept")
    assert {span.parent for span in spans if span.parent} <= set(ids)

    def path(span: Received) -> list[str]:
        return [*(path(ids[span.parent]) if span.parent else []), f"{span.service} {span.name}"]

    beginning = [
        "ingress message.accept",
        "ingress inbox.append",
        "conversation turn.process",
        "conversation turn.dispatch",
        "agents work.process",
        "agents invoke_agent technical",
    ]
    (tool,) = _named(spans, USING_TOOL)
    assert path(tool) == [*beginning, f"agents {USING_TOOL}"]
    assert tool.attributes["trunkline.outcome"] == "done"
    (advised,) = _named(spans, "invoke_agent account")
    asking = ["agents execute_tool consult", "agents consult account", "agents work.process"]
    assert path(advised) == [*beginning, *asking, "agents invoke_agent account"]
    chats = _named(spans, "chat small")
    assert [*beginning, "agents completion.request", "llm_gateway completion", "llm_gateway chat small"] in map(
        path, chats
    )
    for chat in chats:
        assert chat.attributes["gen_ai.operation.name"] == "chat"
        assert (chat.attributes["gen_ai.provider.name"], chat.attributes["trunkline.provider"]) == ("openai", "m")
        assert (chat.attributes["gen_ai.request.model"], chat.attributes["gen_ai.response.model"]) == ("small", "small")
        assert (chat.attributes["gen_ai.usage.input_tokens"], chat.attributes["gen_ai.usage.output_tokens"]) == (
            700,
            30,
        )
    assert _reasons(chats) == REASONS
    (summary,) = _named(spans, "handoff technical")
    assert ids[summary.parent].name == "invoke_agent billing"
    kinds = {span.attributes["trunkline.commit.kind"] for span in _named(spans, "turn.commit")}
    assert kinds == {"handoff", "turn"}
    assert all(ids[span.parent].name == "turn.process" for span in _named(spans, "turn.commit"))
    assert _services(spans) == FIVE


async def _check_killed_agents(suite: Suite, collector: Collector, shop: Any) -> None:
    """Kill the agents in the middle of a tool, and the conversation process: the turn goes on in the same trace."""
    shop.arrived.clear()
    shop.gate.clear()
    async with Customer(suite.url) as customer:
        await customer.start()
        answering = asyncio.ensure_future(customer.ask("m1", REFUND))
        before = len(shop.requests)
        async with asyncio.timeout(TIMEOUT_S):
            await shop.arrived.wait()
        for instance in (*AGENTS, "conversation-1"):
            await asyncio.to_thread(suite.kill, instance)
        async with asyncio.timeout(TIMEOUT_S):
            while len(shop.requests) < before + 2:
                await asyncio.sleep(0.05)
        shop.gate.set()
        async with asyncio.timeout(TIMEOUT_S):
            await answering
    spans = await _turn(collector, customer.conversation, is_whole=False)
    (root,) = [span for span in spans if not span.parent]
    (append,) = _named(spans, "inbox.append")
    (turn,) = _named(spans, "turn.process")
    assert (append.parent, turn.parent) == (root.id, append.id)
    assert [span.attributes["trunkline.outcome"] for span in _named(spans, USING_TOOL)] == ["done"]
