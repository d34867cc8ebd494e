"""Turns beyond capacity are refused honestly: nothing accepted is lost, nothing refused is stored."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bench.overload import Phase, measure
from tests.support.customer import Customer
from tests.support.model_server import ModelServer, serve_model
from tests.support.suite import Suite

pytestmark = pytest.mark.processes

QUESTION = "I was charged twice for my order, can I get a refund?"
BURST = 4
CUSTOMERS = 10
SETTINGS = {
    "TRUNKLINE_ADMISSION_TARGET_S": "0.3",
    "TRUNKLINE_ADMISSION_BURST": str(BURST),
    "TRUNKLINE_INGRESS_PROCESSES_MIN": "1",
    "TRUNKLINE_INGRESS_PROCESSES_MAX": "1",
}
SLOW = """
[[provider]]
name = "slow"
kind = "simulated"
max_concurrency = 1
first_token_ms_median = 40
first_token_sigma = 0
tokens_median = 5
"""
"""Less than fifty turns per second with two gateways, on any machine."""
PROVIDER = """
[[provider]]
name = "m"
kind = "openai"
base_url = "{url}"
models = ["small"]
max_concurrency = 1
first_token_timeout_s = 120
total_timeout_s = 120
"""
"""One call at a time: while the server holds it, all other turns wait for a permit of the gateway."""


async def reply(customer: Customer, id_: str) -> dict[str, Any]:
    """Wait for the reply to a message: `accepted` or `error`."""
    while True:
        frame = await customer.receive()
        if frame["type"] in {"accepted", "error"}:
            assert frame["id"] == id_
            return frame


async def say_until_accepted(customer: Customer, id_: str) -> int:
    """Send a message again after the time of each refusal; return the number of refusals."""
    for refusals in range(100):
        await customer.say(id_, QUESTION)
        frame = await reply(customer, id_)
        if frame["type"] == "accepted":
            return refusals
        await asyncio.sleep(frame["retry_after_s"])
    raise AssertionError("refused again and again")


async def test_turns_beyond_capacity_are_refused_and_the_rest_is_answered(tmp_path: Path) -> None:
    """A model that holds its only call: the burst is accepted, then messages are refused until it goes on.

    A person and the end of a conversation can be requested meanwhile.
    """
    async with serve_model(ModelServer(gate=asyncio.Event())) as server, AsyncExitStack() as stack:
        assert server.gate is not None
        config = tmp_path / "llm.toml"
        config.write_text(PROVIDER.format(url=server.url))
        suite = await asyncio.to_thread(Suite, tmp_path / "suite", {"TRUNKLINE_LLM_CONFIG": str(config), **SETTINGS})
        stack.push_async_callback(asyncio.to_thread, suite.stop)
        customers = [
            await stack.enter_async_context(Customer(suite.url, f"customer-{number}")) for number in range(CUSTOMERS)
        ]
        replies = []
        for customer in customers:
            await customer.start()
            await customer.say("m1", QUESTION)
            replies.append(await reply(customer, "m1"))

        accepted = [customer for customer, frame in zip(customers, replies, strict=True) if frame["type"] == "accepted"]
        refused = [customer for customer in customers if customer not in accepted]
        # A heartbeat may have reported the one call that is at the model.
        assert len(accepted) in {BURST, BURST + 1}
        for error in (frame for frame in replies if frame["type"] == "error"):
            assert (error["code"], error["retryable"]) == ("unavailable", True)
            assert 0.5 < error["retry_after_s"] < 20

        # The accepted message again: it is not refused, but accepted as before.
        await accepted[0].say("m1", QUESTION)
        assert await reply(accepted[0], "m1") == replies[customers.index(accepted[0])]
        await refused[0].send({"type": "request_person", "id": "p1"})
        assert (await reply(refused[0], "p1"))["type"] == "accepted"
        await refused[1].send({"type": "end"})
        await refused[1].until("closed")

        server.gate.set()
        for customer in accepted:
            await customer.answer_to("m1")
        await asyncio.gather(*(say_until_accepted(customer, "m1") for customer in refused[2:]))
        for customer in refused[2:]:
            await customer.answer_to("m1")
        for customer in [*accepted, *refused[2:]]:
            steps = suite.get(f"/v1/ops/trace/{customer.conversation}")["steps"]
            assert [step["type"] for step in steps].count("turn.received") == 1
            assert [step["type"] for step in steps].count("turn.answered") == 1
        metrics = suite.get("/v1/ops/trace/" + refused[1].conversation)["steps"]
        assert "turn.received" not in {step["type"] for step in metrics}


@pytest.mark.long
async def test_refused_turns_are_answered_once_if_they_return_when_their_refusal_says(tmp_path: Path) -> None:
    """Four times the capacity of a model, by customers who heed `retry_after_s`: all are answered, none twice."""
    config = tmp_path / "llm.toml"
    config.write_text(SLOW)
    settings = {
        "TRUNKLINE_LLM_CONFIG": str(config),
        "TRUNKLINE_ADMISSION_TARGET_S": "0.3",
        "TRUNKLINE_ADMISSION_BURST": str(BURST),
        "TRUNKLINE_EDGE_UNLIMITED": "127.0.0.1",
    }
    suite = await asyncio.to_thread(Suite, tmp_path / "suite", settings)
    try:
        phases = Phase("before", 5, 2), Phase("overload", 200, 1), Phase("after", 5, 2)
        figures = await measure(suite.url, phases, conversations=250, seed=1, retries=True)
    finally:
        assert await asyncio.to_thread(suite.stop) == 0
    assert figures["overload"]["refused"] > 0
    assert figures["overload"]["accepted"] == figures["overload"]["turns"] > 100
    named = figures["overload"]["retry_after_s"]
    assert 0.5 < named["p1"] <= named["p99"] < 20
    for name in ("lost", "doubled", "answered_though_refused", "without_reply", "skipped", "errors"):
        assert figures[name] == 0, figures
