"""Wiring of the LLM gateway."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, assert_never

from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.rpc import Responder

from trunkline_llm_gateway.adapters.anthropic import Anthropic
from trunkline_llm_gateway.adapters.config_file import ConfigWatcher, load_config
from trunkline_llm_gateway.adapters.extractive import ExtractiveProvider
from trunkline_llm_gateway.adapters.nats import KvSpendingStore, delta_sender
from trunkline_llm_gateway.adapters.openai import OpenAI
from trunkline_llm_gateway.adapters.remote import RemoteProvider
from trunkline_llm_gateway.adapters.simulated import SimulatedProvider
from trunkline_llm_gateway.application.gateway import Gateway
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.application.spending_sync import SpendingSync
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.config import GatewayConfig, ProviderConfig
from trunkline_llm_gateway.handlers import serve
from trunkline_llm_gateway.ports import Provider
from trunkline_llm_gateway.settings import GatewaySettings, api_key

NAME: Final = "llm_gateway"


@asynccontextmanager
async def service(process: Process[GatewaySettings]) -> AsyncIterator[None]:
    """Serve completions."""
    settings, bus = process.settings, process.bus
    rng = random.Random().random  # noqa: S311 - jitter, not secrets
    registry = ProviderRegistry(load_config(settings.llm_config), make_provider, rng)
    spending = Spending(process.instance)
    spending_store = KvSpendingStore(bus)
    spending_sync = SpendingSync(spending, spending_store, process.instance)
    gateway = Gateway(registry, spending=spending, send=delta_sender(bus), rng=rng, borders=process.borders)
    await spending_store.follow(spending_sync.merge)

    responder = Responder(bus, NAME, process.latency, process.group)
    await serve(bus, process.borders, gateway, responder)
    process.heartbeat.vitals = lambda: Vitals(
        queue_depth=responder.in_flight,
        detail=registry.states(),
        outside=registry.outside,
        work_age_s=registry.oldest_wait_s,
    )
    process.spawn(gateway.run())
    process.spawn(registry.warm())
    process.spawn(spending_store.run())
    process.spawn(spending_sync.run())
    if settings.llm_config is not None:
        process.spawn(ConfigWatcher(settings.llm_config, _activation(registry, process)).run())
    yield
    await responder.close(settings.shutdown_timeout_s)
    await spending_sync.publish()
    await registry.close()


def _activation(
    registry: ProviderRegistry, process: Process[GatewaySettings]
) -> Callable[[GatewayConfig], Awaitable[None]]:
    """Return a function that activates a configuration and retires the clients that it no longer uses."""

    async def activate(config: GatewayConfig) -> None:
        retired = registry.replace(config)
        await registry.warm()
        for client in retired:
            process.spawn(client.retire())

    return activate


def make_provider(config: ProviderConfig) -> Provider:
    """Build the adapter of a provider."""
    match config.kind:
        case "extractive":
            return ExtractiveProvider(config.name)
        case "openai":
            return RemoteProvider(config, api_key(config), OpenAI(config))
        case "anthropic":
            return RemoteProvider(config, api_key(config), Anthropic(config))
        case "simulated":
            return SimulatedProvider(config)
        case _:
            assert_never(config.kind)
