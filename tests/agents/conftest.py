"""Fixtures of the agents' tests: a shop, and agents with tools."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import pytest
from trunkline_chassis.bus import Bus
from trunkline_protocols.fleet import Tool

from tests.agents.tool_agent import Environment, ToolAgent
from tests.support.shop import Shop, serve_shop


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """Serve an API that counts refunds."""
    async with serve_shop() as shop:
        yield shop


@pytest.fixture
async def make_agent(bus: Bus) -> AsyncIterator[Callable[..., ToolAgent]]:
    """Create agents with tools; each test has its own turn."""
    turn = f"c{time.monotonic_ns()}-1"
    agents: list[ToolAgent] = []

    def make(*tools: Tool, environment: Environment | None = None) -> ToolAgent:
        agents.append(ToolAgent(bus, list(tools), turn, environment or Environment()))
        return agents[-1]

    yield make
    for agent in agents:
        await agent.close()
