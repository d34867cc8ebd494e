"""A customer who ends the conversation in the middle of an answer: nobody goes on writing it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from trunkline_conversation.core.decisions import LEFT

from tests.support.customer import Customer
from tests.support.model_server import Fault, ModelServer, serve_model
from tests.support.suite import Suite

pytestmark = pytest.mark.processes

QUESTION = "I was charged twice for my order, can I get a refund?"


async def test_customer_who_ends_the_conversation_stops_the_model(tmp_path: Path) -> None:
    """From the customer's frame to the provider's socket; the message is settled, and the end follows it."""
    async with serve_model(ModelServer(always=Fault("stall"))) as server:
        config = tmp_path / "llm.toml"
        config.write_text(f'[[provider]]\nname = "m"\nkind = "openai"\nbase_url = "{server.url}"\nmodels = ["small"]\n')
        suite = await asyncio.to_thread(Suite, tmp_path / "suite", {"TRUNKLINE_LLM_CONFIG": str(config)})
        try:
            async with Customer(suite.url) as customer:
                await customer.start()
                await customer.say("m1", QUESTION)
                await customer.until("delta")
                await customer.send({"type": "end"})
                async with asyncio.timeout(30):
                    await server.disconnected.wait()
                assert (await customer.answer_to("m1"))["text"] == LEFT
                await customer.until("closed")
            assert len(server.requests) == 1
        finally:
            assert await asyncio.to_thread(suite.stop) == 0
