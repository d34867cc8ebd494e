"""The shelf of routing artefacts, on a real NATS: trained once, read by all, followed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from trunkline_agents.adapters.artefact_store import RoutingArtefactStore
from trunkline_agents.application.routing import CurrentRouting, RouterLoader
from trunkline_agents.core.routing.artefact import version_of
from trunkline_agents.ports import TrainingFailedError
from trunkline_chassis.bus import Bus
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_protocols.fleet import Fleet, FleetPublished

pytestmark = pytest.mark.processes

FOLDER = Path(__file__).parents[2] / "fleet"
FLEET = load_fleet(FOLDER)


async def test_processes_that_start_together_train_once(bus: Bus) -> None:
    """One trains in a process of its own, the others take what it has made."""
    version = version_of(FLEET, "lexical")
    shelves = [RoutingArtefactStore(bus, training_timeout_s=60) for _ in range(3)]
    models = await asyncio.gather(*(shelf.model(version, FLEET) for shelf in shelves))
    assert {model.version for model in models} == {version}
    claims = await bus.read_messages("KV_ROUTING", f"$KV.ROUTING.training.{version}")
    assert len(claims) == 1


async def test_another_fleet_is_learnt_and_taken_without_a_restart(bus: Bus) -> None:
    """The next version of the fleet brings a router of its own."""
    school = RouterLoader(RoutingArtefactStore(bus, training_timeout_s=60), None)
    first = FleetVersion(1, published(FLEET))
    experts = CurrentRouting("billing", school, await school.learn(first))
    fewer = Fleet(company=FLEET.company, agents=[agent for agent in FLEET.agents if agent.name != "billing-refunds"])
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(experts.run())
        experts.hear(FleetVersion(2, published(fewer)))
        async with asyncio.timeout(30):
            while experts.current.version != 2:
                await asyncio.sleep(0.05)
        running.cancel()
    refund = "I was charged twice for my order, can I get a refund?"
    assert experts.current.router.agent_of("billing", refund).name != "billing-refunds"


async def test_training_that_fails_says_why(bus: Bus) -> None:
    """The trainer's last words, not a timeout."""
    empty = Fleet(company=FLEET.company, agents=FLEET.agents[:1])
    with pytest.raises(TrainingFailedError, match="at least two"):
        await RoutingArtefactStore(bus, training_timeout_s=60).model("broken", empty)


def published(fleet: Fleet) -> FleetPublished:
    return FleetPublished(fleet=fleet, published_at=0.0, published_by="test", origin="start")
