"""Summaries for colleagues: a model writes them, or nobody does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_protocols.completion import Complete
from trunkline_protocols.knowledge import Refused

from tests.llm_gateway.gateway_harness import Desk, desk, order, provider, within
from tests.support.model_server import Fault, ModelServer, serving

WRITTEN = "Ada was charged twice."
CONVERSATION = "customer: I was charged twice\nbilling: We look into it."


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A model that summarises."""
    async with serving(ModelServer(pieces=["Ada was ", "charged twice."])) as server:
        yield server


def summary() -> Complete:
    return order(
        purpose="summary",
        instructions="You brief a colleague.",
        question=CONVERSATION,
        passages=[],
        abstain="",
        stream_to=None,
        deadline_at=within(20),
    )


async def refused(gateway: Desk) -> Refused:
    reply = await gateway.gateway.complete(summary())
    assert isinstance(reply, Refused)
    return reply


async def test_model_is_told_to_brief_and_not_to_answer(server: ModelServer) -> None:
    """Neither passages nor the rules of an answer are in the way; nothing is streamed to the customer."""
    async with desk(provider("ours", server.url)) as gateway:
        assert (await gateway.answer(summary())).text == WRITTEN
        assert not gateway.deltas
    assert server.requests[0]["messages"] == [
        {"role": "system", "content": "You brief a colleague."},
        {"role": "user", "content": CONVERSATION},
    ]


async def test_next_model_writes_where_the_first_fails(server: ModelServer) -> None:
    """The route's order holds for summaries too."""
    async with desk(provider("gone", "http://127.0.0.1:1/v1"), provider("ours", server.url)) as gateway:
        assert (await gateway.answer(summary())).text == WRITTEN


async def test_no_quotation_takes_the_place_of_a_summary(server: ModelServer) -> None:
    """Sentences of the knowledge base, or of nobody, do not tell what was said: whoever asked has better words."""
    simulated = ProviderConfig(name="simulated", kind="simulated")
    async with desk(ProviderConfig(name="quotes", kind="extractive"), simulated) as gateway:
        reply = await refused(gateway)
        assert (reply.code, reply.retryable) == ("unavailable", False)
    server.always = Fault("bad request")
    async with desk(provider("ours", server.url), ProviderConfig(name="quotes", kind="extractive")) as gateway:
        assert (await refused(gateway)).code == "request"
