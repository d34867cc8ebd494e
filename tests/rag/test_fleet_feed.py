"""The knowledge service takes the words of the published fleet, and serves without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.fleet_store import publish_fleet
from trunkline_chassis.provision import provision
from trunkline_protocols.fleet import Fleet
from trunkline_rag.adapters.fleet_feed import FleetFeed

from tests.agents.builders import small_fleet
from tests.support.nats import nats_server

pytestmark = pytest.mark.processes


class Applied:
    """The fleets that were applied."""

    def __init__(self) -> None:
        self.names: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, fleets: Sequence[Fleet]) -> None:
        await self.names.put(" and ".join(fleet.company.name for fleet in fleets))


@pytest.fixture
async def own_bus(tmp_path: Path) -> AsyncIterator[Bus]:
    """A provisioned server of its own, without a fleet."""
    with nats_server(tmp_path) as url:
        connection = await connect(url, "test")
        await provision(connection, region="local", specialties=["triage"], replicas=1)
        yield connection
        await connection.close()


@pytest.fixture
async def applied(own_bus: Bus) -> AsyncIterator[Applied]:
    """An open feed of a server without a fleet."""
    applied = Applied()
    feed = FleetFeed(own_bus, applied)
    await feed.open()
    running = asyncio.create_task(feed.run())
    yield applied
    running.cancel()


async def test_every_version_is_applied(own_bus: Bus, applied: Applied) -> None:
    """One that is published later too; without any, there is nothing to apply."""
    assert applied.names.empty()
    fleet = small_fleet()
    first = await publish_fleet(own_bus, fleet, after=0, by="test", origin="start")
    assert await asyncio.wait_for(applied.names.get(), 30) == fleet.company.name
    renamed = msgspec.structs.replace(fleet, company=msgspec.structs.replace(fleet.company, name="Renamed"))
    await publish_fleet(own_bus, renamed, after=first.version, by="test", origin="apply")
    assert await asyncio.wait_for(applied.names.get(), 30) == "Renamed"
