"""Roll-out of a release on fakes: its controller, the first colour, and a lost bucket."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from trunkline_chassis.errors import FenceError
from trunkline_chassis.release_view import ReleaseView
from trunkline_chassis.rollout_store import StoredRollout
from trunkline_ingress.application.release_seeding import ReleaseSeeding
from trunkline_ingress.application.rollout_controller import RolloutController
from trunkline_ingress.application.rollout_targets import ReleaseTarget
from trunkline_ingress.core.rollout.decisions import UNAVAILABLE_TIMEOUT_S
from trunkline_ingress.core.rollout.tally import ObservedCommit
from trunkline_protocols.ids import Instance
from trunkline_protocols.presence import Presence
from trunkline_protocols.rollout import ReleaseRollout

ROLLOUT = ReleaseRollout(
    number=7,
    candidate="green",
    served="blue",
    shares=[50, 100],
    hold_s=0,
    min_turns=1,
    slow_s=1.0,
    started_at=0.0,
    started_by="ada",
    commits_after=0,
)


@dataclass
class FakeStore:
    """The key in memory, with its fence."""

    stored: StoredRollout[ReleaseRollout] = field(default_factory=lambda: StoredRollout(ROLLOUT, 1))

    async def read(self) -> StoredRollout[ReleaseRollout]:
        return self.stored

    async def put(self, rollout: ReleaseRollout, *, after: int) -> None:
        if after != self.stored.revision:
            raise FenceError("changed")
        self.stored = StoredRollout(rollout, after + 1)


class Suite:
    """Processes, an empty log, and time; each process knows the stored state."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.now = 0.0
        self.processes: dict[str, dict[str, Any]] = {
            "ingress-1": {},
            "ingress-2": {},
            "conversation-1": {},
            "agents-1": {"colour": "blue", "specialties": ["triage", "billing"], "started_at": 1.0},
            "agents-2": {"colour": "green", "specialties": ["triage", "billing"], "started_at": 2.0},
        }

    async def last(self) -> int:
        return 0

    async def read(self, *, after: int) -> list[tuple[int, ObservedCommit | None]]:
        raise NotImplementedError

    @property
    def known(self) -> ReleaseRollout | None:
        return self.store.stored.rollout

    def alive(self) -> list[Presence]:
        first = Presence(service="", instance="", pid=1, state="ready", version="1", node="", started_at=0.0, at=0.0)
        return [
            msgspec.structs.replace(
                first,
                service=instance.partition("-")[0],
                instance=instance,
                **({"release_rollout": self.known.number if self.known else 0} | changes),
            )
            for instance, changes in self.processes.items()
        ]

    @property
    def view(self) -> ReleaseView:
        number = self.known.number if self.known else 0
        return cast("ReleaseView", SimpleNamespace(release=self.known, number=number))

    def controller(self, instance: str = "ingress-1") -> RolloutController[ReleaseRollout]:
        target = ReleaseTarget(self.store, self, self.view)
        return RolloutController(target, self, instance=Instance(instance), now=lambda: self.now)

    def seeding(self, view: ReleaseView | None = None) -> ReleaseSeeding:
        return ReleaseSeeding(self.store, self, view or self.view, instance=Instance("ingress-1"), now=lambda: self.now)

    @property
    def phase(self) -> str:
        return self.state.phase

    @property
    def state(self) -> ReleaseRollout:
        assert self.known is not None
        return self.known


@pytest.fixture
def suite() -> Suite:
    """A suite with the agents of both releases."""
    return Suite()


async def test_agents_of_every_specialty_come_first(suite: Suite) -> None:
    """And every process that draws, or keeps draws, knows of the roll-out."""
    suite.processes["agents-2"]["specialties"] = ["triage"]
    await suite.controller().step()
    assert suite.phase == "preparing"
    suite.processes["agents-2"]["specialties"] = ["triage", "billing"]
    suite.processes["conversation-1"]["release_rollout"] = 3
    await suite.controller().step()
    assert suite.phase == "preparing"
    del suite.processes["conversation-1"]["release_rollout"]
    await suite.controller().step()
    assert (suite.phase, suite.state.share) == ("running", 50)


async def test_ingress_of_an_older_release_controls_nothing(suite: Suite) -> None:
    """The next one by name goes on instead of waiting for it."""
    second = suite.controller("ingress-2")
    await second.step()
    assert suite.phase == "preparing"
    suite.processes["ingress-1"]["release_rollout"] = 0
    await second.step()
    assert suite.phase == "running"


async def test_release_without_agents_is_withdrawn(suite: Suite) -> None:
    """Not at once: they may restart; and the time begins again after they were there."""
    suite.store.stored = StoredRollout(msgspec.structs.replace(ROLLOUT, phase="running", share=50), 1)
    controller = suite.controller()
    gone = suite.processes.pop("agents-2")
    await controller.step()
    suite.now = UNAVAILABLE_TIMEOUT_S - 1
    suite.processes["agents-2"] = gone
    await controller.step()
    del suite.processes["agents-2"]
    suite.now += 2
    await controller.step()
    assert suite.phase == "running"
    suite.now += UNAVAILABLE_TIMEOUT_S + 1
    await controller.step()
    assert suite.phase == "withdrawn"
    assert suite.state.decisions[-1].reason == "no green agents of billing, triage are ready"


async def test_first_colour_is_that_of_the_first_agents(suite: Suite) -> None:
    """A second colour that starts beside it does not change it, and without a colour nothing is stored."""
    suite.store.stored = StoredRollout(None, 0)
    agents = {name: suite.processes.pop(name) for name in ("agents-1", "agents-2")}
    suite.processes["agents-3"] = {"specialties": ["billing"]}
    await suite.seeding().step()
    assert suite.known is None
    suite.processes |= agents
    await suite.seeding().step()
    assert (suite.state.in_force, suite.state.is_active) == ("blue", False)
    await suite.seeding().step()
    assert suite.store.stored.revision == 1


async def test_unreadable_state_is_not_replaced(suite: Suite) -> None:
    """An operator decides."""
    unreadable: StoredRollout[ReleaseRollout] = StoredRollout(None, 4)
    suite.store.stored = unreadable
    await suite.seeding().step()
    assert suite.store.stored == unreadable


async def test_lost_state_is_stored_again(suite: Suite) -> None:
    """A single server without its volume has lost it: a process that knows it puts it back once."""
    view = suite.view
    suite.store.stored = StoredRollout(None, 0)
    for _ in range(2):
        await suite.seeding(view).restore()
    assert suite.store.stored == StoredRollout(ROLLOUT, 1)
