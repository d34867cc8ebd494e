"""Routing of an agents process in a roll-out: both versions at once, and none that is not loaded."""

from __future__ import annotations

import msgspec
import pytest
from trunkline_agents.adapters.package_data import built_in_examples
from trunkline_agents.application.routing import CurrentRouting, FleetRouting, RouterLoader
from trunkline_agents.core.routing.artefact import RoutingModel
from trunkline_agents.core.routing.router import Router
from trunkline_agents.core.routing.training import train
from trunkline_agents.ports import TrainingFailedError
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_protocols.fleet import ALL_SPECIALTIES, Fleet, FleetPublished
from trunkline_protocols.rollout import FleetRollout, RolloutPhase

from tests.agents.builders import small_fleet
from tests.protocols.sample_parts import ROLLOUT

FLEET = small_fleet()
WITH_SALES = msgspec.structs.replace(
    FLEET, agents=[*FLEET.agents, msgspec.structs.replace(FLEET.agents[0], name="sales-one", specialty="sales")]
)
MODEL = train(FLEET, "test", built_in=built_in_examples())


class FakeStore:
    """Artefacts of a small fleet, until training fails."""

    def __init__(self) -> None:
        self.loads = 0
        self.fails = False

    async def model(self, version: str, fleet: Fleet) -> RoutingModel:
        del version, fleet
        self.loads += 1
        if self.fails:
            raise TrainingFailedError("no memory")
        return MODEL


def version(number: int, fleet: Fleet) -> FleetVersion:
    return FleetVersion(number, FleetPublished(fleet=fleet, published_at=0.0, published_by="test", origin="apply"))


def fleets(phase: RolloutPhase = "running", *, candidate: Fleet = WITH_SALES, served: int = 5) -> ServedFleets:
    """Return a served version and candidate 12."""
    state: FleetRollout = msgspec.structs.replace(ROLLOUT, phase=phase, share=5)
    return ServedFleets(version(served, FLEET), version(12, candidate), state)


@pytest.fixture
def store() -> FakeStore:
    """A store whose training succeeds."""
    return FakeStore()


def routing_of(store: FakeStore, specialty: str = ALL_SPECIALTIES) -> CurrentRouting:
    """Return the routing of a process that has loaded the served version."""
    loader = RouterLoader(store, "lexical", built_in_examples())
    return CurrentRouting(loader, FleetRouting(5, FLEET, Router(FLEET, MODEL)), specialty=specialty)


async def test_turns_have_the_router_of_their_version(store: FakeStore) -> None:
    """Each specialty of both is served; another number is answered by the served version."""
    routing = routing_of(store)
    await routing.load(fleets())
    assert (routing.candidate_version, routing.of(12).fleet, routing.of(5).fleet) == (12, WITH_SALES, FLEET)
    assert routing.of(0) is routing.of(3) is routing.current
    assert "sales" in routing.served
    assert (routing.serves("sales", 12), routing.serves("sales", 5)) == (True, False)


async def test_turn_in_flight_ends_with_a_withdrawn_candidate(store: FakeStore) -> None:
    """No new work of its own specialty is taken."""
    routing = routing_of(store)
    await routing.load(fleets())
    await routing.load(fleets("withdrawn"))
    assert (routing.candidate_version, routing.of(12).fleet) == (0, WITH_SALES)
    assert "sales" not in routing.served


async def test_process_does_not_report_a_candidate_that_it_cannot_load(store: FakeStore) -> None:
    """So the roll-out does not begin; the served version is answered as before."""
    store.fails = True
    routing = routing_of(store)
    await routing.load(fleets())
    assert (routing.candidate_version, routing.of(12)) == (0, routing.current)
    store.fails = False
    await routing.load(fleets("preparing"))
    assert routing.candidate_version == 12


async def test_process_of_a_specialty_that_the_candidate_lacks_does_not_hold_it_up(store: FakeStore) -> None:
    """It has no turn of the candidate to answer."""
    fewer = msgspec.structs.replace(FLEET, agents=[each for each in FLEET.agents if each.specialty != "billing"])
    routing = routing_of(store, "billing")
    await routing.load(fleets(candidate=fewer))
    assert (routing.candidate_version, store.loads, routing.served) == (12, 0, ["billing"])


async def test_published_candidate_is_served_without_loading_it_again(store: FakeStore) -> None:
    """Its conversations do not wait, and turns of both numbers have its router."""
    routing = routing_of(store)
    await routing.load(fleets())
    state = fleets("finishing").rollout
    await routing.load(ServedFleets(version(17, WITH_SALES), version(12, WITH_SALES), state))
    assert store.loads == 1
    assert (routing.current.version, routing.current.fleet) == (17, WITH_SALES)
    assert routing.of(12).router is routing.of(17).router
