"""Wiring of the LLM gateway."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, assert_never

import structlog
from trunkline_chassis.lifecycle import Process

from trunkline_llm_gateway.accounts import follow, tell, tell_now
from trunkline_llm_gateway.adapters.anthropic import Anthropic
from trunkline_llm_gateway.adapters.extractive import ExtractiveProvider
from trunkline_llm_gateway.adapters.nats import Door, sender
from trunkline_llm_gateway.adapters.openai import OpenAI
from trunkline_llm_gateway.adapters.remote import RemoteProvider
from trunkline_llm_gateway.adapters.simulated import SimulatedProvider
from trunkline_llm_gateway.config import ConfigError, ProviderConfig, load_config
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.directory import Directory
from trunkline_llm_gateway.handlers import Gateway
from trunkline_llm_gateway.ports import Provider
from trunkline_llm_gateway.settings import GatewaySettings, api_key

NAME: Final = "llm_gateway"
_log: Final = structlog.get_logger(__name__)
_LOOK_EVERY_S: Final = 1.0


@asynccontextmanager
async def service(process: Process[GatewaySettings]) -> AsyncIterator[None]:
    """Write answers."""
    settings, bus = process.settings, process.bus
    draw = random.Random().random  # noqa: S311 - jitter, not secrets
    directory = Directory(load_config(settings.llm_config), make_provider, draw)
    spending = Spending(process.instance)
    gateway = Gateway(directory, spending=spending, send=sender(bus), draw=draw)
    await follow(bus, spending)

    door = Door(bus, settings.region, gateway, process.latency, process.group)
    await door.open()
    process.heartbeat.queue_depth = lambda: door.running
    process.heartbeat.detail = directory.states
    process.spawn(gateway.run())
    process.spawn(directory.warm())
    process.spawn(tell(bus, spending, process.instance))
    if settings.llm_config is not None:
        process.spawn(_follow(settings.llm_config, directory, process))
    yield
    await door.close(settings.shutdown_timeout_s)
    await tell_now(bus, spending, process.instance)
    await directory.close()


async def _follow(file: Path, directory: Directory, process: Process[GatewaySettings]) -> None:
    """Put every change of the file into force; a faulty one is told, and what was in force stays."""
    seen = _signature(file)
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        signature = _signature(file)
        if signature == seen:
            continue
        seen = signature
        try:
            gone = directory.replace(load_config(file))
        except ConfigError as error:
            _log.error("llm.config_refused", reason=str(error))
            continue
        _log.info("llm.config_replaced", providers=[provider.name for provider in directory.config.provider])
        await directory.warm()
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
