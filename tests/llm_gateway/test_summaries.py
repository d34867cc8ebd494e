"""Summaries for other agents: written by a model, or refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_protocols.completion import Complete
from trunkline_protocols.refusal import Refused

from tests.llm_gateway.gateway_harness import (
    GatewayHarness,
    deadline_in,
    make_request,
    provider_config,
    running_gateway,
)
from tests.support.model_server import Fault, ModelServer, serve_model

SUMMARY = "Ada was charged twice."
CONVERSATION = "customer: I was charged twice\nbilling: We look into it."


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """Serve a model that summarises."""
    async with serve_model(ModelServer(pieces=["Ada was ", "charged twice."])) as server:
        yield server


def summary_request() -> Complete:
    return make_request(
        purpose="summary",
        instructions="You brief a colleague.",
        text=CONVERSATION,
        passages=[],
        abstain="",
        stream_to=None,
        deadline_at=deadline_in(20),
    )


async def refusal(harness: GatewayHarness) -> Refused:
    reply = await harness.gateway.complete(summary_request())
    assert isinstance(reply, Refused)
    return reply


async def test_model_receives_summary_instructions_only(server: ModelServer) -> None:
    """Neither passages nor answer rules are included; nothing is streamed to the customer."""
    async with running_gateway(provider_config("ours", server.url)) as harness:
        assert (await harness.complete(summary_request())).text == SUMMARY
        assert not harness.deltas
    assert server.requests[0]["messages"] == [
        {"role": "system", "content": "You brief a colleague."},
        {"role": "user", "content": CONVERSATION},
    ]


async def test_next_model_summarises_if_the_first_fails(server: ModelServer) -> None:
    """Failover applies to summaries too."""
    async with running_gateway(
        provider_config("gone", "http://127.0.0.1:1/v1"), provider_config("ours", server.url)
    ) as harness:
        assert (await harness.complete(summary_request())).text == SUMMARY


async def test_summary_is_never_replaced_by_a_quotation(server: ModelServer) -> None:
    """Sentences of the knowledge base do not summarise a conversation: the caller has a better default."""
    simulated = ProviderConfig(name="simulated", kind="simulated")
    async with running_gateway(ProviderConfig(name="quotes", kind="extractive"), simulated) as harness:
        reply = await refusal(harness)
        assert (reply.code, reply.retryable) == ("unavailable", False)
    server.always = Fault("bad request")
    async with running_gateway(
        provider_config("ours", server.url), ProviderConfig(name="quotes", kind="extractive")
    ) as harness:
        assert (await refusal(harness)).code == "request"
