"""The end of a conversation in mid-answer cancels the completion."""

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


async def test_end_in_mid_answer_cancels_the_completion(tmp_path: Path) -> None:
    """The connection to the provider is closed; the message is settled, then the conversation is closed."""
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
