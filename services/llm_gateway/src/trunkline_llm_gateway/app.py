"""Wiring of the LLM gateway."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, assert_never

import structlog
from trunkline_chassis.heartbeat import Vitals
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.rpc import Responder

from trunkline_llm_gateway.adapters.anthropic import Anthropic
from trunkline_llm_gateway.adapters.extractive import ExtractiveProvider
from trunkline_llm_gateway.adapters.nats import sender
from trunkline_llm_gateway.adapters.openai import OpenAI
from trunkline_llm_gateway.adapters.remote import RemoteProvider
from trunkline_llm_gateway.adapters.simulated import SimulatedProvider
from trunkline_llm_gateway.application.budget_guard import follow, tell, tell_now
from trunkline_llm_gateway.application.gateway import Gateway
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.config import ConfigError, ProviderConfig, load_config
from trunkline_llm_gateway.handlers import serve
from trunkline_llm_gateway.ports import Provider
from trunkline_llm_gateway.settings import GatewaySettings, api_key

NAME: Final = "llm_gateway"
_log: Final = structlog.get_logger(__name__)
_LOOK_EVERY_S: Final = 1.0


@asynccontextmanager
async def service(process: Process[GatewaySettings]) -> AsyncIterator[None]:
    """Write answers."""
    settings, bus = process.settings, process.bus
    rng = random.Random().random  # noqa: S311 - jitter, not secrets
    registry = ProviderRegistry(load_config(settings.llm_config), make_provider, rng)
    spending = Spending(process.instance)
    gateway = Gateway(registry, spending=spending, send=sender(bus), rng=rng)
    await follow(bus, spending)

    responder = Responder(bus, NAME, process.latency, process.group)
    await serve(bus, settings.region, gateway, responder)
    process.heartbeat.vitals = lambda: Vitals(queue_depth=responder.in_flight, detail=registry.states())
    process.spawn(gateway.run())
    process.spawn(registry.warm())
    process.spawn(tell(bus, spending, process.instance))
    if settings.llm_config is not None:
        process.spawn(_follow(settings.llm_config, registry, process))
    yield
    await responder.close(settings.shutdown_timeout_s)
    await tell_now(bus, spending, process.instance)
    await registry.close()


async def _follow(file: Path, registry: ProviderRegistry, process: Process[GatewaySettings]) -> None:
    """Put every change of the file into force; a faulty one is told, and what was in force stays."""
    seen = _signature(file)
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        signature = _signature(file)
        if signature == seen:
            continue
        seen = signature
        try:
            gone = registry.replace(load_config(file))
        except ConfigError as error:
            _log.error("llm.config_refused", reason=str(error))
            continue
        _log.info("llm.config_replaced", providers=[provider.name for provider in registry.config.provider])
        await registry.warm()
        for pool in gone:
            process.spawn(pool.retire())


def _signature(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


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
