"""The gateway beyond faults: cancellation, hedging, queues, residency, caching, and reconfiguration at runtime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from prometheus_client import REGISTRY
from trunkline_llm_gateway.core.budgets import day_of
from trunkline_llm_gateway.core.config import BudgetConfig, GatewayConfig, RouteConfig
from trunkline_protocols.completion import CancelCompletion, Completed
from trunkline_protocols.refusal import Refused

from tests.llm_gateway.gateway_harness import (
    FALLBACK_TEXT,
    MODEL_TEXT,
    PASSAGE,
    make_request,
    provider_config,
    running_gateway,
)
from tests.support.model_server import Fault, ModelServer, serve_model


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """Serve the primary provider."""
    async with serve_model(ModelServer()) as server:
        yield server


@pytest.fixture
async def backup() -> AsyncIterator[ModelServer]:
    """Serve the second provider."""
    async with serve_model(ModelServer(pieces=["Five ", "days ", "[1]."])) as server:
        yield server


@pytest.mark.parametrize(
    "cancel", [CancelCompletion(request_id="r1", reason="left"), CancelCompletion(turn="c1-1", reason="left")]
)
@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_cancelled_completion_stops_upstream(server: ModelServer, cancel: CancelCompletion, fault: str) -> None:
    """By its request or its turn, before and after the first token; it is no failure of the provider."""
    server.always = Fault(fault)  # type: ignore[arg-type]
    async with running_gateway(provider_config("primary", server.url)) as harness, asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(harness.gateway.complete(make_request(request_id="r1")))
        other = tasks.create_task(harness.gateway.complete(make_request("c1-2", request_id="r2")))
        while len(server.requests) < 2:
            await asyncio.sleep(0.005)
        harness.gateway.cancel(cancel)
        async with asyncio.timeout(5):
            await server.disconnected.wait()
            assert await answering == Refused(code="cancelled", message="left", retryable=False)
        assert harness.spending.total("", day_of(time.time())) > 0
        assert not other.done()
        harness.gateway.cancel(CancelCompletion(request_id="r2"))
        await other
        assert harness.registry.states() == {"primary/small": "closed"}
        harness.gateway.cancel(cancel)


async def test_connection_is_reused_after_an_answer(server: ModelServer) -> None:
    """The answer is returned before the HTTP response has ended."""
    async with running_gateway(provider_config("primary", server.url)) as harness, asyncio.timeout(30):
        while len(server.connections) == len(server.requests):
            assert (await harness.complete(make_request())).text == MODEL_TEXT


async def test_citations_of_a_model_are_those_that_support_its_statements(server: ModelServer) -> None:
    """A mark at a passage about something else gives none."""
    wrong = msgspec.structs.replace(PASSAGE, document="lamps", text="Update the firmware of both lamps in the app.")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        (cited,) = (await harness.complete(make_request())).citations
        assert (cited.quote, cited.statement, cited.mark) == (PASSAGE.text, "Refunds take 5 days", 1)
        reply = await harness.complete(make_request("c1-2", passages=[wrong]))
        assert (reply.text, reply.citations) == (MODEL_TEXT, [])


async def test_answer_does_not_wait_for_an_endless_response(server: ModelServer) -> None:
    """The answer is complete; the connection is closed afterwards."""
    server.always = Fault("no end")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.complete()
        assert (reply.text, reply.stop_reason) == (MODEL_TEXT, "stop")
        await asyncio.wait_for(server.disconnected.wait(), 30)
        assert harness.registry.states() == {"primary/small": "closed"}


async def test_superseded_attempt_is_cancelled(server: ModelServer) -> None:
    """Its agent may have died without cancelling; the later attempt is not affected."""
    server.always = Fault("hang")
    target = make_request().stream_to
    assert target is not None
    second = make_request(stream_to=msgspec.structs.replace(target, ref=msgspec.structs.replace(target.ref, attempt=2)))
    superseding = CancelCompletion(turn="c1-1", attempt=2, reason="overtaken")
    async with running_gateway(provider_config("primary", server.url)) as harness, asyncio.TaskGroup() as tasks:
        first, later = [tasks.create_task(harness.gateway.complete(each)) for each in (make_request(), second)]
        while len(server.requests) < 2:
            await asyncio.sleep(0.005)
        harness.gateway.cancel(superseding)
        assert await first == Refused(code="cancelled", message="overtaken", retryable=False)
        assert not later.done()
        harness.gateway.cancel(CancelCompletion(turn="c1-1", reason="left"))
        await later


async def test_cancelled_turn_gets_no_later_completion(server: ModelServer) -> None:
    """The cancellation may arrive while its agent still searches."""
    async with running_gateway(provider_config("primary", server.url)) as harness:
        harness.gateway.cancel(CancelCompletion(turn="c1-1", reason="left"))
        reply = await harness.gateway.complete(make_request("c1-1"))
        assert reply == Refused(code="cancelled", message="left", retryable=False)
        assert server.requests == []
        assert (await harness.complete(make_request("c1-2"))).text == MODEL_TEXT


async def test_late_first_token_is_hedged_by_the_next_provider(server: ModelServer, backup: ModelServer) -> None:
    """The first to emit wins; the other attempt is cancelled and charged."""
    server.always = Fault("hang")
    route = RouteConfig(name="default", providers=["primary", "backup"], hedge_after_ms=30)
    pair = (provider_config("primary", server.url), provider_config("backup", backup.url))
    async with running_gateway(*pair, route=route) as harness:
        reply = await harness.complete(make_request(tenant="acme"))
        assert (harness.displayed(), reply.provider) == (backup.text, "backup")
        async with asyncio.timeout(5):
            await server.disconnected.wait()
        assert [(attempt.provider, attempt.outcome, attempt.characters) for attempt in reply.attempts] == [
            ("primary", "stopped", 0),
            ("backup", "answered", len(backup.text)),
        ]
        assert reply.attempts[0].cost > 0
        spent = harness.spending.total("acme", day_of(time.time()))
        assert spent == pytest.approx(sum(attempt.cost for attempt in reply.attempts))


async def test_quick_first_token_is_not_hedged(server: ModelServer, backup: ModelServer) -> None:
    """The second provider receives no request."""
    route = RouteConfig(name="default", providers=["primary", "backup"], hedge_after_ms=20_000)
    pair = (provider_config("primary", server.url), provider_config("backup", backup.url))
    async with running_gateway(*pair, route=route) as harness:
        assert (await harness.complete()).provider == "primary"
        assert (len(server.requests), len(backup.requests)) == (1, 0)


async def test_failed_hedged_pair_is_followed_by_the_fallback(server: ModelServer, backup: ModelServer) -> None:
    """A failure of the first provider calls the second at once."""
    server.always = backup.always = Fault("bad request")
    route = RouteConfig(name="default", providers=["primary", "backup"], hedge_after_ms=20_000)
    pair = (provider_config("primary", server.url), provider_config("backup", backup.url))
    async with running_gateway(*pair, route=route) as harness:
        reply = await harness.complete()
        assert (reply.text, reply.degraded) == (FALLBACK_TEXT, "request")
        assert (len(server.requests), len(backup.requests)) == (1, 1)


async def test_overloaded_provider_is_skipped(server: ModelServer, backup: ModelServer) -> None:
    """Its queue is bounded, and its circuit breaker ignores calls that it never received."""
    server.always = Fault("hang")
    full = provider_config("primary", server.url, max_concurrency=1, max_waiting=0)
    async with running_gateway(full, provider_config("backup", backup.url)) as harness, asyncio.TaskGroup() as tasks:
        holding = tasks.create_task(harness.gateway.complete(make_request(request_id="r1")))
        await server.arrived.wait()
        reply = await harness.complete(make_request("c1-2"))
        assert (reply.provider, reply.attempts[0].outcome) == ("backup", "overloaded")
        harness.gateway.cancel(CancelCompletion(request_id="r1"))
        await holding
        assert harness.registry.states()["primary/small"] == "closed"


async def test_queued_call_acquires_the_released_permit(server: ModelServer) -> None:
    """In order, and no permit is lost if a queued call is cancelled."""
    server.faults.append(Fault("hang"))
    limited = provider_config("primary", server.url, max_concurrency=1)
    async with running_gateway(limited) as harness, asyncio.TaskGroup() as tasks:
        calls = [
            tasks.create_task(harness.gateway.complete(make_request(request_id=f"r{number}"))) for number in range(4)
        ]
        await server.arrived.wait()
        harness.gateway.cancel(CancelCompletion(request_id="r1"))
        harness.gateway.cancel(CancelCompletion(request_id="r0"))
        replies = [await call for call in calls]
        assert [isinstance(reply, Completed) and reply.text for reply in replies] == [
            False,
            False,
            MODEL_TEXT,
            MODEL_TEXT,
        ]


async def test_conversation_never_leaves_its_region_on_failures(server: ModelServer, backup: ModelServer) -> None:
    """Neither failover, hedging, a named provider nor another route leave it: the fallback answers."""
    server.always = Fault("cut")
    eu, us = provider_config("eu", server.url, region="eu"), provider_config("us", backup.url, region="us")
    unlabelled = provider_config("unlabelled", backup.url)
    route = RouteConfig(name="default", providers=["eu", "us", "unlabelled"], hedge_after_ms=1)
    async with running_gateway(eu, us, unlabelled, route=route) as harness:
        reply = await harness.complete(make_request(region="eu"))
        assert (reply.text, reply.degraded) == (FALLBACK_TEXT, "cut")
        for restriction in ({"provider": "us"}, {"provider": "unlabelled"}):
            assert isinstance(await harness.gateway.complete(make_request(region="eu", **restriction)), Refused)
        assert (await harness.complete(make_request(region="eu", route="other"))).provider == "extractive"
        assert (await harness.complete(make_request(region="mars"))).degraded == "unavailable"
        assert backup.requests == []
        assert (await harness.complete(make_request(region="us"))).provider == "us"


async def test_new_configuration_takes_over_while_calls_run(server: ModelServer, backup: ModelServer) -> None:
    """A call in flight ends at the old provider; an unchanged provider keeps its state."""
    server.first_token_s = 0.1
    primary = provider_config("primary", server.url)
    async with running_gateway(primary) as harness, asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(harness.gateway.complete(make_request()))
        await server.arrived.wait()
        retired = harness.registry.replace(GatewayConfig(provider=[provider_config("backup", backup.url)]))
        assert (await harness.complete(make_request("c1-2"))).provider == "backup"
        reply = await answering
        assert isinstance(reply, Completed)
        assert (reply.provider, reply.text) == ("primary", MODEL_TEXT)
        for client in retired:
            await client.retire()
        kept = harness.registry.client("backup")
        assert harness.registry.replace(GatewayConfig(provider=[provider_config("backup", backup.url), primary])) == []
        assert harness.registry.client("backup") is kept


async def test_equal_requests_in_flight_share_one_completion(server: ModelServer) -> None:
    """If the completion is deterministic and not streamed; also if the first caller cancels."""
    server.faults.append(Fault("hang"))
    request = make_request(temperature=0.0, stream_to=None)
    async with running_gateway(provider_config("primary", server.url)) as harness, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(harness.gateway.complete(msgspec.structs.replace(request, request_id="r1")))
        await server.arrived.wait()
        rest = [tasks.create_task(harness.gateway.complete(request)) for _ in range(5)]
        await asyncio.sleep(0)
        harness.gateway.cancel(CancelCompletion(request_id="r1"))
        assert isinstance(await first, Refused)
        for reply in await asyncio.gather(*rest):
            assert isinstance(reply, Completed)
            assert reply.text == MODEL_TEXT
        assert len(server.requests) == 2
        await harness.complete(request)
        assert len(server.requests) == 3


async def test_deterministic_completions_are_cached_if_configured(server: ModelServer) -> None:
    """The latest ones; never streamed answers, never those of another tenant."""
    request = make_request(temperature=0.0, stream_to=None, tenant="acme")
    hits = REGISTRY.get_sample_value("trunkline_cache_hits_total", {"cache": "completions"}) or 0.0
    async with running_gateway(provider_config("primary", server.url), cache_entries=1) as harness:
        first = await harness.complete(request)
        assert await harness.complete(request) == first
        assert len(server.requests) == 1
        assert REGISTRY.get_sample_value("trunkline_cache_hits_total", {"cache": "completions"}) == hits + 1
        await harness.complete(msgspec.structs.replace(request, tenant="other"))
        await harness.complete(request)
        assert len(server.requests) == 3
        await harness.complete(make_request(temperature=0.0))
        await harness.complete(make_request(temperature=0.0))
        assert len(server.requests) == 5


async def test_exhausted_budget_is_answered_without_a_model(server: ModelServer) -> None:
    """Failed attempts are charged to the budget too."""
    server.always = Fault("cut", after=3)
    budget = BudgetConfig(tenant="*", usd_per_day=0.00003)
    async with running_gateway(
        provider_config("primary", server.url, output_cost_per_million=10.0), budget=[budget]
    ) as harness:
        reply = await harness.complete(make_request(tenant="acme"))
        assert sum(attempt.cost for attempt in reply.attempts) > 0
        before = len(server.requests)
        assert (await harness.complete(make_request(tenant="acme"))).degraded == "budget"
        assert len(server.requests) == before
