"""Artefact store on a real NATS: each version is trained once, shared by all processes, and followed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from trunkline_agents.adapters.artefact_store import KvArtefactStore
from trunkline_agents.adapters.package_data import built_in_examples
from trunkline_agents.application.routing import CurrentRouting, RouterLoader
from trunkline_agents.core.routing.artefact import artefact_version
from trunkline_agents.ports import TrainingFailedError
from trunkline_chassis.bus import Bus
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_protocols.fleet import Fleet, FleetPublished

pytestmark = pytest.mark.processes

FOLDER = Path(__file__).parents[2] / "fleet"
FLEET = load_fleet(FOLDER)


async def test_processes_that_start_together_train_once(bus: Bus) -> None:
    """One trains in a subprocess, the others read its artefact."""
    version = artefact_version(FLEET, "lexical", built_in_examples())
    stores = [KvArtefactStore(bus, training_timeout_s=60) for _ in range(3)]
    models = await asyncio.gather(*(store.model(version, FLEET) for store in stores))
    assert {model.version for model in models} == {version}
    claims = await bus.read_messages("KV_ROUTING", f"$KV.ROUTING.training.{version}")
    assert len(claims) == 1


async def test_new_fleet_version_is_loaded_without_a_restart(bus: Bus) -> None:
    """The next version of the fleet has its own router."""
    loader = RouterLoader(KvArtefactStore(bus, training_timeout_s=60), "lexical", built_in_examples())
    routing = CurrentRouting("billing", loader, await loader.load(FleetVersion(1, published(FLEET))))
    smaller = Fleet(company=FLEET.company, agents=[agent for agent in FLEET.agents if agent.name != "billing-refunds"])
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(routing.run())
        routing.on_fleet_change(FleetVersion(2, published(smaller)))
        async with asyncio.timeout(30):
            while routing.current.version != 2:
                await asyncio.sleep(0.05)
        running.cancel()
    refund = "I was charged twice for my order, can I get a refund?"
    assert routing.current.router.choose_agent("billing", refund).name != "billing-refunds"


async def test_failed_training_reports_its_reason(bus: Bus) -> None:
    """The trainer's error output, not a timeout."""
    empty = Fleet(company=FLEET.company, agents=FLEET.agents[:1])
    with pytest.raises(TrainingFailedError, match="at least two"):
        await KvArtefactStore(bus, training_timeout_s=60).model("broken", empty)


def published(fleet: Fleet) -> FleetPublished:
    return FleetPublished(fleet=fleet, published_at=0.0, published_by="test", origin="start")
