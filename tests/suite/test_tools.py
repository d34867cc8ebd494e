"""A refund by a tool call in a complete suite: the agent is killed in mid-call, the refund is issued once.

The rest of the conversation shows that its records say everything that happened.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from trunkline_audit.core import verifier

from tests.support.customer import Customer
from tests.support.http_server import serve_http
from tests.support.model_server import event
from tests.support.shop import Shop, serve_shop
from tests.support.suite import AGENTS, Suite, run_cli, trunkline, wait_until

pytestmark = pytest.mark.processes

FLEET = Path(__file__).parents[2] / "fleet"
REFUND = "I was charged twice for my order, can I get a refund?"
BOTH = "I was charged twice for my order and my thermostat will not connect to the Wi-Fi"
TECHNICAL = "My thermostat will not connect to the Wi-Fi anymore"
TOOL_CALL = {"index": 0, "id": "call-1", "function": {"name": "issue-refund", "arguments": '{"order": "A-1"}'}}
TOOL = """
name = "issue-refund"
description = "Refund an order"
url = "{url}/orders/{{order}}/refunds"
timeout_s = 60
writes = true
idempotent = true
bind = {{ customer = "customer.sub" }}

[parameters]
type = "object"
required = ["order", "customer"]

[parameters.properties]
order = {{ type = "string" }}
customer = {{ type = "string" }}
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
    # One suite with a model and tools serves both: a second one would take half a minute.
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
            await check_records(suite, shop, tmp_path)
        finally:
            assert await asyncio.to_thread(suite.stop) == 0


async def check_records(suite: Suite, shop: Shop, folder: Path) -> None:
    """A handoff, a consultation, a tool, an escalation, a notice, a rating and a look leave records, all proven."""
    done = await asyncio.to_thread(
        run_cli, suite, "notice", "Refunds are late.", "--audience", "agents", "--ttl", "5m", "--json"
    )
    notice = json.loads(done.stdout)["notice"]["notice"]
    async with Customer(suite.url, "ada-4711") as customer:
        await customer.start()
        await customer.ask("m1", REFUND)
        await customer.ask("m2", BOTH)
        await customer.ask("m3", TECHNICAL)
        await customer.send({"type": "request_person", "id": "p1", "text": "Let me talk to a person."})
        await customer.answer_to("p1")
        await customer.send({"type": "feedback", "rating": 4, "text": "Quick."})
    await asyncio.to_thread(
        wait_until, lambda: "feedback.given" in step_types(suite, customer.conversation), "the rating is stored"
    )
    await asyncio.to_thread(suite.get, f"/v1/ops/desk/{customer.conversation}")
    found = await asyncio.to_thread(proven_trace, suite, customer.conversation)
    by_type: dict[str, list[dict[str, Any]]] = {}
    for step in found["steps"]:
        by_type.setdefault(step["type"], []).append(step)
    check_decisions(by_type, notice)
    use = by_type["tool"][0]["detail"]
    assert json.loads(use["arguments"]) == {"order": "A-1", "customer": "[customer.sub]"}
    assert json.loads(use["result"])["refund"].endswith("of A-1")
    assert "ada-4711" in str([body for _, _, _, body in shop.requests])
    assert {(step["detail"]["view"], step["detail"]["role"]) for step in by_type["conversation.viewed"]} == {
        ("desk", "admin"),
        ("trace", "admin"),
    }
    (rating,) = by_type["feedback.given"]
    assert (rating["detail"]["rating"], rating["detail"]["text"]) == (4, "Quick.")
    await asyncio.to_thread(check_proof, suite, customer.conversation, found, folder)


def check_decisions(by_type: dict[str, list[dict[str, Any]]], notice: str) -> None:
    """Who answered, from which sources, and the reasons and scores of each decision."""
    first = by_type["turn.answered"][0]["detail"]
    assert (first["notices"], first["active_notices"]) == ([notice], [notice])
    assert first["agent"].startswith("billing-")
    assert first["fleet_version"] > 0
    completion = by_type["llm.complete"][0]["detail"]
    assert (completion["provider"], completion["model"]) == ("m", "small")
    assert completion["usage"]["output_tokens"] > 0
    assert all(passage["rev"] > 0 for passage in by_type["knowledge.search"][0]["detail"]["found"])
    assert by_type["turn.routed"][0]["detail"]["evidence"]["reason"] == "classified"
    assert len(by_type["turn.routed"][0]["detail"]["evidence"]["scores"]) == 3
    handoff = by_type["turn.hand_off"][0]
    assert handoff["detail"]["confidence"] > 0
    assert handoff["detail"]["from_agent"].startswith(handoff["from"])
    assert handoff["detail"]["evidence"]["scores"][0]["name"] == handoff["to"]
    consultation = by_type["consult"][0]["detail"]
    assert (consultation["outcome"], consultation["provider"], consultation["model"]) == ("advised", "m", "small")
    assert by_type["turn.escalate"][0]["detail"]["reason"] == "the customer asks for a person"


def check_proof(suite: Suite, conversation: str, trace: dict[str, Any], folder: Path) -> None:
    """The leaves of the trace are those that an auditor proves without Trunkline."""
    command = [trunkline(), "audit", "prove", conversation, "--data-dir", str(suite.data_dir)]
    proof = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    leaves = {
        (entry["stream"], entry["sequence"]): entry["leaf"]
        for entry in map(json.loads, proof.splitlines())
        if entry["kind"] == "record"
    }
    assert {(step["stream"], step["sequence"]): step["leaf"] for step in trace["steps"]}.items() <= leaves.items()
    file = folder / "proof.jsonl"
    file.write_text(proof, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, str(verifier.__file__), str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    printed = json.loads(run_cli(suite, "trace", conversation, "--json").stdout)
    assert printed["steps"][: len(trace["steps"])] == trace["steps"]
    text = run_cli(suite, "trace", conversation, "--details").stdout
    assert "records proven by the head of" in " ".join(text.split())
    assert "[customer.sub]" in text


def traced(suite: Suite, conversation: str) -> dict[str, Any]:
    trace: dict[str, Any] = suite.get(f"/v1/ops/trace/{conversation}")
    return trace


def step_types(suite: Suite, conversation: str) -> set[str]:
    return {step["type"] for step in traced(suite, conversation)["steps"]}


def proven_trace(suite: Suite, conversation: str) -> dict[str, Any]:
    """Return the trace once all of its records are proven: a head is signed within a second of them."""
    found: list[dict[str, Any]] = []

    def is_proven() -> bool:
        found.append(traced(suite, conversation))
        proof = found[-1]["proof"]
        return bool(proof["proven"] == proof["records"] and not proof["faults"])

    wait_until(is_proven, "all records are proven")
    return found[-1]
