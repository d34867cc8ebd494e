"""The summary of a handoff in a complete suite: written by a model, sent to the next agent, shown in the trace."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.customer import Customer
from tests.support.model_server import ModelServer, serve_model
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes

REFUND = "I was charged twice for my order, can I get a refund?"
THERMOSTAT = "My thermostat shows the error code E2 on its screen"
SUMMARY = "Ada was charged twice and has been told when the refund comes."


async def test_summary_of_the_model_reaches_the_next_agent(tmp_path: Path) -> None:
    """It is in the commit of the handoff and in the instructions of the next agent's completion."""
    async with serve_model(ModelServer(pieces=[SUMMARY])) as server:
        config = tmp_path / "llm.toml"
        config.write_text(f'[[provider]]\nname = "m"\nkind = "openai"\nbase_url = "{server.url}"\nmodels = ["small"]\n')
        suite = await asyncio.to_thread(Suite, tmp_path / "suite", {"TRUNKLINE_LLM_CONFIG": str(config)})
        try:
            async with Customer(suite.url) as customer:
                await customer.start()
                await customer.ask("m1", REFUND)
                assert (await customer.ask("m2", THERMOSTAT))["specialty"] == "technical"
                traced = await asyncio.to_thread(run_cli, suite, "trace", customer.conversation, "--json")
        finally:
            assert await asyncio.to_thread(suite.stop) == 0
    (handoff,) = [step for step in json.loads(traced.stdout)["steps"] if step["type"] == "turn.hand_off"]
    assert (handoff["detail"]["summary"], handoff["detail"]["model"]) == (SUMMARY, "small")
    briefing, answer = server.requests[-2:]
    assert REFUND in briefing["messages"][-1]["content"]
    assert SUMMARY in answer["messages"][0]["content"].partition("What happened before")[2]
