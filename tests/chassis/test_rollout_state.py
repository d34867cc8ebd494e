"""State of a roll-out in KV FLEET: followed by every process, and never trusted if it cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import FenceError
from trunkline_chassis.fleet_store import (
    CANDIDATE_SUBJECT,
    FleetVersion,
    publish_candidate,
    publish_fleet,
    read_served_fleets,
)
from trunkline_chassis.fleet_view import follow_fleet
from trunkline_chassis.provision import provision
from trunkline_chassis.rollout_store import ROLLOUT_SUBJECT, put_rollout, read_rollout
from trunkline_protocols.rollout import FleetRollout

from tests.agents.builders import small_fleet
from tests.protocols.sample_parts import ROLLOUT
from tests.support.nats import nats_server

pytestmark = pytest.mark.processes

FLEET = small_fleet()
OTHER = msgspec.structs.replace(FLEET, company=msgspec.structs.replace(FLEET.company, name="Other"))


@pytest.fixture
async def own_bus(tmp_path: Path) -> AsyncIterator[Bus]:
    """A provisioned server of its own with a fleet."""
    with nats_server(tmp_path) as url:
        connection = await connect(url, "test")
        await provision(connection, region="local", specialties=["triage"], replicas=1)
        await publish_fleet(connection, FLEET, after=0, by="test", origin="start")
        yield connection
        await connection.close()


def running(candidate: FleetVersion) -> FleetRollout:
    return msgspec.structs.replace(ROLLOUT, candidate=candidate.version, phase="running", share=50)


async def put(bus: Bus, subject: str, payload: bytes) -> None:
    last = await bus.last_message("KV_FLEET", subject)
    await bus.append(subject, payload, message_id=f"{subject}-{last.seq if last is not None else 0}")


async def test_candidate_is_held_only_with_its_own_readable_state(own_bus: Bus) -> None:
    """Unreadable state, unreadable candidate, state of another candidate: the served version alone."""
    candidate = await publish_candidate(own_bus, OTHER, by="ada", note="")
    served = await read_served_fleets(own_bus)
    assert served is not None
    assert served.candidate is None, "no state names it yet"
    stored = await put_rollout(own_bus, running(candidate), after=0)
    both = await read_served_fleets(own_bus)
    assert both is not None
    assert (both.active_candidate, both.served) == (candidate, served.served)
    assert both.specialties == sorted({*FLEET.specialties, *OTHER.specialties})
    with pytest.raises(FenceError):
        await put_rollout(own_bus, running(candidate), after=stored.revision - 1)

    await put(own_bus, ROLLOUT_SUBJECT, b"\xff")
    assert await read_served_fleets(own_bus) == served
    unreadable = await read_rollout(own_bus)
    assert unreadable.rollout is None
    await put_rollout(own_bus, running(candidate), after=unreadable.revision)
    assert await read_served_fleets(own_bus) == both

    await put(own_bus, CANDIDATE_SUBJECT, b"\xff")
    assert await read_served_fleets(own_bus) == served
    await publish_candidate(own_bus, OTHER, by="ada", note="")
    assert await read_served_fleets(own_bus) == served, "the state names another revision"


async def test_view_follows_a_rollout(own_bus: Bus) -> None:
    """Each change of the share is seen; the served version is the same."""
    view = await follow_fleet(own_bus)
    following = asyncio.create_task(view.run())
    seen: list[tuple[int, int]] = []
    view.on_change = lambda fleets: seen.append((view.candidate_version, fleets.rollout.share if fleets.rollout else 0))
    candidate = await publish_candidate(own_bus, OTHER, by="ada", note="")
    stored = await put_rollout(own_bus, running(candidate), after=0)
    await until(lambda: len(seen) == 1)
    withdrawn = msgspec.structs.replace(running(candidate), phase="withdrawn", share=0)
    await put_rollout(own_bus, withdrawn, after=stored.revision)
    await until(lambda: len(seen) == 2)
    following.cancel()
    assert seen == [(candidate.version, 50), (0, 0)]
    assert (view.current.version, view.fleets.of(candidate.version)) == (1, candidate)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)
