"""Artefact store on a real NATS: each version is trained once, shared by all processes, and followed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from trunkline_agents.adapters import artefact_store
from trunkline_agents.adapters.artefact_folder import ArtefactFolder
from trunkline_agents.adapters.artefact_store import KvArtefactStore
from trunkline_agents.adapters.package_data import built_in_examples
from trunkline_agents.application.routing import CurrentRouting, RouterLoader
from trunkline_agents.core.routing.artefact import artefact_version
from trunkline_agents.ports import TrainingFailedError
from trunkline_chassis.bus import Bus
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_chassis.served_fleets import ServedFleets
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
    stored = await bus.read_messages("KV_ROUTING", f"$KV.ROUTING.model.{version}.count")
    assert len(stored) == 1


async def test_claim_lasts_as_long_as_its_training(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process waits for a long training; the next one takes over soon after its process has died."""
    monkeypatch.setattr(artefact_store, "_RENEWAL_INTERVAL_S", 0.1)
    monkeypatch.setattr(artefact_store, "_CLAIM_EXPIRY_S", 0.5)
    trained = await artefact_store._train("long", FLEET, 60)
    trainings, finished = [], asyncio.Event()

    async def train(version: str, _fleet: Fleet, _timeout_s: float) -> bytes:
        trainings.append(version)
        await finished.wait()
        return trained

    monkeypatch.setattr(artefact_store, "_train", train)
    first, second = (
        asyncio.create_task(KvArtefactStore(bus, training_timeout_s=60).model("long", FLEET)) for _ in range(2)
    )
    await asyncio.sleep(1.5)
    assert trainings == ["long"]
    done, _ = await asyncio.wait({first, second}, timeout=0)
    assert not done
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    third = asyncio.create_task(KvArtefactStore(bus, training_timeout_s=60).model("long", FLEET))
    async with asyncio.timeout(10):
        while len(trainings) < 2:
            await asyncio.sleep(0.05)
    finished.set()
    assert (await third).version == "long"


@pytest.mark.parametrize("damage", ["none", "cut", pytest.param("other", marks=pytest.mark.long)])
async def test_folder_replaces_a_training(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Unless its file is damaged or of another version: then the artefact is trained, and stored there."""
    version = f"cached-{damage}"
    payload = await artefact_store._train(version, FLEET, 60)
    other = await artefact_store._train("other", FLEET, 60) if damage == "other" else b""
    (tmp_path / version).write_bytes({"none": payload, "cut": payload[:-100], "other": other}[damage])
    trainings = []

    async def train(version: str, _fleet: Fleet, _timeout_s: float) -> bytes:
        trainings.append(version)
        return payload

    monkeypatch.setattr(artefact_store, "_train", train)
    store = KvArtefactStore(bus, training_timeout_s=60, folder=ArtefactFolder(tmp_path))
    assert (await store.model(version, FLEET)).version == version
    assert trainings == ([] if damage == "none" else [version])
    assert (tmp_path / version).read_bytes() == payload


async def test_new_fleet_version_is_loaded_without_a_restart(bus: Bus) -> None:
    """The next version of the fleet has its own router."""
    loader = RouterLoader(KvArtefactStore(bus, training_timeout_s=60), "lexical", built_in_examples())
    routing = CurrentRouting(loader, await loader.load(FleetVersion(1, published(FLEET))), specialty="billing")
    smaller = Fleet(company=FLEET.company, agents=[agent for agent in FLEET.agents if agent.name != "billing-refunds"])
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(routing.run())
        routing.on_fleet_change(ServedFleets(FleetVersion(2, published(smaller))))
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
