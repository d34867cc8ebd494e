"""The gateway beyond faults: cancelling, hedging, waiting rooms, residency, another configuration in mid-flight."""

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
from trunkline_protocols.knowledge import Refused

from tests.llm_gateway.gateway_harness import FALLBACK_TEXT, MODEL_TEXT, make_request, provider_config, running_gateway
from tests.support.model_server import Fault, ModelServer, serve_model


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """One provider."""
    async with serve_model(ModelServer()) as server:
        yield server


@pytest.fixture
async def backup() -> AsyncIterator[ModelServer]:
    """Another one."""
    async with serve_model(ModelServer(pieces=["Five ", "days ", "[1]."])) as server:
        yield server


@pytest.mark.parametrize(
    "cancel", [CancelCompletion(request_id="r1", reason="left"), CancelCompletion(turn="c1-1", reason="left")]
)
@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_cancelled_completion_stops_upstream(server: ModelServer, cancel: CancelCompletion, fault: str) -> None:
    """By its request or its turn, before and after the first token; the provider is not blamed."""
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
        assert harness.spending.spent("", day_of(time.time())) > 0
        assert not other.done()
        harness.gateway.cancel(CancelCompletion(request_id="r2"))
        await other
        assert harness.registry.states() == {"primary/small": "closed"}
        harness.gateway.cancel(cancel)


async def test_connection_of_an_answer_is_used_again(server: ModelServer) -> None:
    """Though the answer is given on before its response has ended."""
    async with running_gateway(provider_config("primary", server.url)) as harness, asyncio.timeout(30):
        while len(server.connections) == len(server.requests):
            assert (await harness.complete(make_request())).text == MODEL_TEXT


async def test_answer_does_not_wait_for_a_response_that_does_not_end(server: ModelServer) -> None:
    """It is whole; the connection is closed behind the customer's back."""
    server.always = Fault("no end")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.complete()
        assert (reply.text, reply.stop_reason) == (MODEL_TEXT, "stop")
        await asyncio.wait_for(server.disconnected.wait(), 30)
        assert harness.registry.states() == {"primary/small": "closed"}


async def test_try_that_was_overtaken_is_stopped(server: ModelServer) -> None:
    """Its agent was given up, and may have died without a word; the try that follows it is not touched."""
    server.always = Fault("hang")
    target = make_request().stream_to
    assert target is not None
    second = make_request(stream_to=msgspec.structs.replace(target, ref=msgspec.structs.replace(target.ref, attempt=2)))
    overtaken = CancelCompletion(turn="c1-1", attempt=2, reason="overtaken")
    async with running_gateway(provider_config("primary", server.url)) as harness, asyncio.TaskGroup() as tasks:
        first, next_one = [tasks.create_task(harness.gateway.complete(each)) for each in (make_request(), second)]
        while len(server.requests) < 2:
            await asyncio.sleep(0.005)
        harness.gateway.cancel(overtaken)
        assert await first == Refused(code="cancelled", message="overtaken", retryable=False)
        assert not next_one.done()
        harness.gateway.cancel(CancelCompletion(turn="c1-1", reason="left"))
        await next_one


async def test_turn_that_was_abandoned_gets_no_completion_any_more(server: ModelServer) -> None:
    """The news may come while its agent still searches."""
    async with running_gateway(provider_config("primary", server.url)) as harness:
        harness.gateway.cancel(CancelCompletion(turn="c1-1", reason="left"))
        refused = await harness.gateway.complete(make_request("c1-1"))
        assert refused == Refused(code="cancelled", message="left", retryable=False)
        assert server.requests == []
        assert (await harness.complete(make_request("c1-2"))).text == MODEL_TEXT


async def test_late_first_token_is_hedged_by_the_next_provider(server: ModelServer, backup: ModelServer) -> None:
    """The first to speak writes; the other one is stopped, and what it has cost by then is charged."""
    server.always = Fault("hang")
    route = RouteConfig(name="default", providers=["primary", "backup"], hedge_after_ms=30)
    both = (provider_config("primary", server.url), provider_config("backup", backup.url))
    async with running_gateway(*both, route=route) as harness:
        reply = await harness.complete(make_request(tenant="acme"))
        assert (harness.displayed(), reply.provider) == (backup.text, "backup")
        async with asyncio.timeout(5):
            await server.disconnected.wait()
        assert [(one.provider, one.outcome, one.characters) for one in reply.attempts] == [
            ("primary", "stopped", 0),
            ("backup", "answered", len(backup.text)),
        ]
        assert reply.attempts[0].cost > 0
        spent = harness.spending.spent("acme", day_of(time.time()))
        assert spent == pytest.approx(sum(one.cost for one in reply.attempts))


async def test_quick_first_token_is_not_hedged(server: ModelServer, backup: ModelServer) -> None:
    """One request, no cost."""
    route = RouteConfig(name="default", providers=["primary", "backup"], hedge_after_ms=20_000)
    both = (provider_config("primary", server.url), provider_config("backup", backup.url))
    async with running_gateway(*both, route=route) as harness:
        assert (await harness.complete()).provider == "primary"
        assert (len(server.requests), len(backup.requests)) == (1, 0)


async def test_hedged_pair_that_fails_is_followed_by_the_quotation(server: ModelServer, backup: ModelServer) -> None:
    """A failure of the first one calls the second at once."""
    server.always = backup.always = Fault("bad request")
    route = RouteConfig(name="default", providers=["primary", "backup"], hedge_after_ms=20_000)
    both = (provider_config("primary", server.url), provider_config("backup", backup.url))
    async with running_gateway(*both, route=route) as harness:
        reply = await harness.complete()
        assert (reply.text, reply.degraded) == (FALLBACK_TEXT, "request")
        assert (len(server.requests), len(backup.requests)) == (1, 1)


async def test_full_provider_sends_its_customers_on(server: ModelServer, backup: ModelServer) -> None:
    """Its waiting room is bounded, and its breaker does not count what it was not asked."""
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


async def test_waiting_call_gets_the_place_that_becomes_free(server: ModelServer) -> None:
    """In order, and none is lost when one that waits is cancelled."""
    server.faults.append(Fault("hang"))
    one = provider_config("primary", server.url, max_concurrency=1)
    async with running_gateway(one) as harness, asyncio.TaskGroup() as tasks:
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


async def test_conversation_never_leaves_its_region_whatever_fails(server: ModelServer, backup: ModelServer) -> None:
    """Not on failover, not by hedging, not by name, not by another route: the quotation answers."""
    server.always = Fault("cut")
    eu, us = provider_config("eu", server.url, region="eu"), provider_config("us", backup.url, region="us")
    unlabelled = provider_config("unlabelled", backup.url)
    route = RouteConfig(name="default", providers=["eu", "us", "unlabelled"], hedge_after_ms=1)
    async with running_gateway(eu, us, unlabelled, route=route) as harness:
        reply = await harness.complete(make_request(region="eu"))
        assert (reply.text, reply.degraded) == (FALLBACK_TEXT, "cut")
        for way in ({"provider": "us"}, {"provider": "unlabelled"}):
            assert isinstance(await harness.gateway.complete(make_request(region="eu", **way)), Refused)
        assert (await harness.complete(make_request(region="eu", route="other"))).provider == "extractive"
        assert (await harness.complete(make_request(region="mars"))).degraded == "unavailable"
        assert backup.requests == []
        assert (await harness.complete(make_request(region="us"))).provider == "us"


async def test_new_configuration_takes_over_while_calls_run(server: ModelServer, backup: ModelServer) -> None:
    """Who is under way ends at the old provider; who stays keeps what is known of it."""
    server.first_token_s = 0.1
    primary = provider_config("primary", server.url)
    async with running_gateway(primary) as harness, asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(harness.gateway.complete(make_request()))
        await server.arrived.wait()
        gone = harness.registry.replace(GatewayConfig(provider=[provider_config("backup", backup.url)]))
        assert (await harness.complete(make_request("c1-2"))).provider == "backup"
        reply = await answering
        assert isinstance(reply, Completed)
        assert (reply.provider, reply.text) == ("primary", MODEL_TEXT)
        for pool in gone:
            await pool.retire()
        kept = harness.registry.client("backup")
        assert harness.registry.replace(GatewayConfig(provider=[provider_config("backup", backup.url), primary])) == []
        assert harness.registry.client("backup") is kept


async def test_equal_orders_in_flight_share_one_completion(server: ModelServer) -> None:
    """Where the answer is the same every time and nobody watches it being written; also when the first one leaves."""
    server.faults.append(Fault("hang"))
    plain = make_request(temperature=0.0, stream_to=None)
    async with running_gateway(provider_config("primary", server.url)) as harness, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(harness.gateway.complete(msgspec.structs.replace(plain, request_id="r1")))
        await server.arrived.wait()
        rest = [tasks.create_task(harness.gateway.complete(plain)) for _ in range(5)]
        await asyncio.sleep(0)
        harness.gateway.cancel(CancelCompletion(request_id="r1"))
        assert isinstance(await first, Refused)
        for reply in await asyncio.gather(*rest):
            assert isinstance(reply, Completed)
            assert reply.text == MODEL_TEXT
        assert len(server.requests) == 2
        await harness.complete(plain)
        assert len(server.requests) == 3


async def test_repeatable_completions_are_kept_where_that_is_configured(server: ModelServer) -> None:
    """The last ones; streamed answers never, other tenants' never."""
    plain = make_request(temperature=0.0, stream_to=None, tenant="acme")
    hits = REGISTRY.get_sample_value("trunkline_cache_hits_total", {"cache": "completions"}) or 0.0
    async with running_gateway(provider_config("primary", server.url), cache_entries=1) as harness:
        first = await harness.complete(plain)
        assert await harness.complete(plain) == first
        assert len(server.requests) == 1
        assert REGISTRY.get_sample_value("trunkline_cache_hits_total", {"cache": "completions"}) == hits + 1
        await harness.complete(msgspec.structs.replace(plain, tenant="other"))
        await harness.complete(plain)
        assert len(server.requests) == 3
        await harness.complete(make_request(temperature=0.0))
        await harness.complete(make_request(temperature=0.0))
        assert len(server.requests) == 5


async def test_tenant_without_money_is_answered_without_a_model(server: ModelServer) -> None:
    """Budgets hold for tries that failed as well."""
    server.always = Fault("cut", after=3)
    budget = BudgetConfig(tenant="*", usd_per_day=0.00003)
    async with running_gateway(
        provider_config("primary", server.url, output_cost_per_million=10.0), budget=[budget]
    ) as harness:
        reply = await harness.complete(make_request(tenant="acme"))
        assert sum(one.cost for one in reply.attempts) > 0
        before = len(server.requests)
        assert (await harness.complete(make_request(tenant="acme"))).degraded == "budget"
        assert len(server.requests) == before
