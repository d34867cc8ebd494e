"""Wiring of the LLM gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, assert_never

from trunkline_chassis.lifecycle import Process
from trunkline_chassis.rpc import Responder
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import Instance
from trunkline_protocols.turn import Delta

from trunkline_llm_gateway.adapters.extractive import ExtractiveProvider
from trunkline_llm_gateway.adapters.openai import OpenAIProvider
from trunkline_llm_gateway.adapters.simulated import SimulatedProvider
from trunkline_llm_gateway.config import GatewayConfig, ProviderConfig, load_config
from trunkline_llm_gateway.handlers import Gateway
from trunkline_llm_gateway.ports import Provider
from trunkline_llm_gateway.settings import GatewaySettings, api_key

NAME: Final = "llm_gateway"
_ROUTE: Final = "default"
_WORKERS: Final = 512


@asynccontextmanager
async def service(process: Process[GatewaySettings]) -> AsyncIterator[None]:
    """Write answers."""
    settings, bus = process.settings, process.bus
    config = load_config(settings.llm_config)
    providers = _providers(config)

    async def send(ingress: str, delta: Delta) -> None:
        await bus.publish(subjects.out(Instance(ingress), delta.conversation), codec.encode(delta))

    concurrency = sum(provider.max_concurrency for provider in config.provider)
    gateway = Gateway(providers, max_concurrency=concurrency, send=send)
    responder = Responder(settings.nats_url, NAME, process.latency)
    responder.answer(
        subjects.complete(settings.region), codec.complete, gateway.complete, title="Completion", max_workers=_WORKERS
    )
    await responder.start()
    process.heartbeat.queue_depth = lambda: responder.running
    yield
    await responder.stop()
    for provider in providers:
        await provider.close()


def _providers(config: GatewayConfig) -> list[Provider]:
    """The route's providers in order; the extractive one is the last resort of every route."""
    by_name = {provider.name: provider for provider in config.provider}
    chosen = [_provider(by_name[name]) for name in config.order_of(_ROUTE)]
    if not any(isinstance(provider, ExtractiveProvider) for provider in chosen):
        chosen.append(ExtractiveProvider())
    return chosen


def _provider(config: ProviderConfig) -> Provider:
    match config.kind:
        case "extractive":
            return ExtractiveProvider(config.name)
        case "openai":
            return OpenAIProvider(config, api_key(config.api_key_env))
        case "simulated":
            return SimulatedProvider(config)
        case _:
            assert_never(config.kind)
