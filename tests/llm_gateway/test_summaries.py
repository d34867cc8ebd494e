"""Summaries for colleagues: a model writes them, or nobody does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_protocols.completion import Complete
from trunkline_protocols.knowledge import Refused

from tests.llm_gateway.gateway_harness import (
    GatewayHarness,
    deadline_in,
    make_request,
    provider_config,
    running_gateway,
)
from tests.support.model_server import Fault, ModelServer, serve_model

WRITTEN = "Ada was charged twice."
CONVERSATION = "customer: I was charged twice\nbilling: We look into it."


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A model that summarises."""
    async with serve_model(ModelServer(pieces=["Ada was ", "charged twice."])) as server:
        yield server


def summary() -> Complete:
    return make_request(
        purpose="summary",
        instructions="You brief a colleague.",
        text=CONVERSATION,
        passages=[],
        abstain="",
        stream_to=None,
        deadline_at=deadline_in(20),
    )


async def refused(gateway: GatewayHarness) -> Refused:
    reply = await harness.gateway.complete(summary())
    assert isinstance(reply, Refused)
    return reply


async def test_model_is_told_to_brief_and_not_to_answer(server: ModelServer) -> None:
    """Neither passages nor the rules of an answer are in the way; nothing is streamed to the customer."""
    async with running_gateway(provider_config("ours", server.url)) as harness:
        assert (await harness.complete(summary())).text == WRITTEN
        assert not harness.deltas
    assert server.requests[0]["messages"] == [
        {"role": "system", "content": "You brief a colleague."},
        {"role": "user", "content": CONVERSATION},
    ]


async def test_next_model_writes_where_the_first_fails(server: ModelServer) -> None:
    """The route's order holds for summaries too."""
    async with running_gateway(
        provider_config("gone", "http://127.0.0.1:1/v1"), provider_config("ours", server.url)
    ) as harness:
        assert (await harness.complete(summary())).text == WRITTEN


async def test_no_quotation_takes_the_place_of_a_summary(server: ModelServer) -> None:
    """Sentences of the knowledge base, or of nobody, do not tell what was said: whoever asked has better words."""
    simulated = ProviderConfig(name="simulated", kind="simulated")
    async with running_gateway(ProviderConfig(name="quotes", kind="extractive"), simulated) as harness:
        reply = await refused(gateway)
        assert (reply.code, reply.retryable) == ("unavailable", False)
    server.always = Fault("bad request")
    async with running_gateway(
        provider_config("ours", server.url), ProviderConfig(name="quotes", kind="extractive")
    ) as harness:
        assert (await refused(gateway)).code == "request"
