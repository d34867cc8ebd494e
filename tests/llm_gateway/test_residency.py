"""Borders of the gateway: requests of another region, and failover to providers in one."""

from __future__ import annotations

import asyncio
import random
import secrets

from trunkline_chassis.bus import Bus
from trunkline_chassis.latency import RecentLatency
from trunkline_chassis.rpc import Responder
from trunkline_llm_gateway.app import make_provider
from trunkline_llm_gateway.application.gateway import Gateway
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.config import GatewayConfig, ProviderConfig
from trunkline_llm_gateway.handlers import serve
from trunkline_protocols import codec, subjects
from trunkline_protocols.completion import CancelCompletion, Complete, Completed, CompletionReply
from trunkline_protocols.refusal import Refused
from trunkline_protocols.turn import Delta

from tests.llm_gateway.gateway_harness import make_request, provider_config
from tests.support.borders import ListedBorders
from tests.support.model_server import Fault, ModelServer, serve_model


def gateway(
    borders: ListedBorders, *providers: ProviderConfig, residency: dict[str, list[str]] | None = None
) -> Gateway:
    """Return a gateway over these providers, in this order."""
    rng = random.Random(1).random  # noqa: S311 - jitter, not secrets
    config = GatewayConfig(provider=list(providers), residency=residency or {})

    async def send(_: str, delta: Delta) -> None:
        del delta

    registry = ProviderRegistry(config, make_provider, rng)
    return Gateway(registry, spending=Spending("test"), send=send, rng=rng, borders=borders)


async def test_failover_stops_at_the_border_and_is_recorded() -> None:
    """The provider of the region fails; the one abroad would answer, and gets nothing."""
    async with serve_model(ModelServer()) as own, serve_model(ModelServer()) as abroad:
        own.faults.extend([Fault("server error")] * 20)
        borders = ListedBorders("eu")
        providers = provider_config("own", own.url, region="eu"), provider_config("abroad", abroad.url, region="us")
        reply = await gateway(borders, *providers).complete(make_request(region="eu"))
        assert isinstance(reply, Completed)
        assert reply.model == "extractive"
        assert abroad.requests == []
        assert borders.refused == [("provider", "eu", "us")]


async def test_provider_abroad_is_refused_by_name_and_allowed_by_the_operator() -> None:
    """A request may name its provider; `[residency]` opens this border."""
    async with serve_model(ModelServer()) as abroad:
        borders, config = ListedBorders("eu"), provider_config("abroad", abroad.url, region="us")
        request = make_request(region="eu", provider="abroad")
        assert isinstance(await gateway(borders, config).complete(request), Refused)
        assert borders.refused == [("provider", "eu", "us")]
        assert abroad.requests == []
        assert isinstance(await gateway(borders, config, residency={"eu": ["us"]}).complete(request), Completed)
        assert len(borders.refused) == 1


class Endpoint:
    """Keeps the regions of the requests that reach it."""

    def __init__(self) -> None:
        self.regions: list[str] = []

    async def complete(self, request: Complete) -> CompletionReply:
        self.regions.append(request.region)
        return Completed(text="", provider="p", model="m")

    def cancel(self, message: CancelCompletion) -> None:
        raise AssertionError(f"nothing is cancelled: {message}")


async def test_request_of_another_region_does_not_reach_the_gateway(bus: Bus) -> None:
    """One without a region is of the region whose subject it came on: it does not get every provider."""
    borders, endpoint = ListedBorders(f"r{secrets.token_hex(4)}"), Endpoint()
    async with asyncio.TaskGroup() as tasks:
        responder = Responder(bus, "llm_gateway", RecentLatency(), tasks)
        await serve(bus, borders, endpoint, responder)
        replies = []
        for region in ("us", "", borders.region):
            request = codec.encode(Complete(instructions="", text="x", region=region))
            raw = await bus.request(subjects.complete(borders.region), request, timeout_s=30)
            replies.append(codec.completion_reply.decode(raw))
        await responder.close(5)
    assert isinstance(replies[0], Refused)
    assert endpoint.regions == [borders.region] * 2
    assert borders.refused == [("completion", "us", borders.region)]
