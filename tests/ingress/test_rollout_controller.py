"""Controller of roll-outs on fakes: one at a time, and another one goes on where it died."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from trunkline_chassis.errors import BusUnavailableError, FenceError
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_chassis.rollout_store import StoredRollout
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_ingress.application.rollout_controller import RolloutController
from trunkline_ingress.application.rollout_targets import FleetTarget
from trunkline_ingress.core.rollout.tally import ObservedCommit, ObservedEvent
from trunkline_protocols.fleet import Fleet, FleetPublished
from trunkline_protocols.ids import ConversationId, Instance, TurnId
from trunkline_protocols.presence import Presence
from trunkline_protocols.rollout import FleetDraw, FleetRollout
from trunkline_protocols.rules.rollout import is_drawn_to_candidate

from tests.protocols.sample_parts import AGENT, COMPANY

ROLLOUT = FleetRollout(
    candidate=12,
    served=5,
    shares=[50, 100],
    hold_s=10,
    min_turns=2,
    slow_s=1.0,
    started_at=0.0,
    started_by="ada",
    commits_after=0,
)
DRAW = FleetDraw(candidate=12, share=50)
BAD = ObservedEvent(event="turn_answered", abstained=True)
GOOD = ObservedEvent(event="turn_answered", title="Billing")


def version(number: int, name: str) -> FleetVersion:
    company = msgspec.structs.replace(COMPANY, name=name)
    fleet = Fleet(company=company, agents=[AGENT])
    return FleetVersion(number, FleetPublished(fleet=fleet, published_at=0.0, published_by="ada", origin="apply"))


@dataclass
class FakeStore:
    """KV FLEET in memory; can lose the process after a version is published."""

    stored: StoredRollout[FleetRollout] = field(default_factory=lambda: StoredRollout(ROLLOUT, 1))
    served: FleetVersion = field(default_factory=lambda: version(5, "Old"))
    published: int = 0
    dies_after_publishing: bool = False

    async def read(self) -> StoredRollout[FleetRollout]:
        return self.stored

    async def put(self, rollout: FleetRollout, *, after: int) -> None:
        if after != self.stored.revision:
            raise FenceError("changed")
        if self.dies_after_publishing and self.published:
            raise BusUnavailableError("gone")
        self.stored = StoredRollout(rollout, after + 1)

    async def publish_candidate(self, fleet: Fleet, *, by: str, note: str) -> FleetVersion:
        raise NotImplementedError

    async def publish(self, candidate: FleetVersion, *, after: int, note: str) -> FleetVersion:
        if after != self.served.version:
            raise FenceError("another version")
        self.published += 1
        self.served = FleetVersion(17, candidate.published)
        return self.served


class Suite:
    """Processes, commits and time."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.commits: list[ObservedCommit] = []
        self.reads: list[int] = []
        self.now = 0.0
        self.loaded = {"ingress-1": 12, "ingress-2": 12, "conversation-1": 12, "agents-1": 12}

    async def last(self) -> int:
        return len(self.commits)

    async def read(self, *, after: int) -> list[tuple[int, ObservedCommit | None]]:
        self.reads.append(after)
        return list(enumerate(self.commits[after : after + 2], start=after + 1))

    def alive(self) -> list[Presence]:
        return [
            Presence(
                service=instance.partition("-")[0],
                instance=instance,
                pid=1,
                state="ready",
                version="1",
                node="",
                started_at=0.0,
                at=0.0,
                fleet_version=self.store.served.version,
                candidate_version=candidate,
            )
            for instance, candidate in self.loaded.items()
        ]

    def fleets(self) -> ServedFleets:
        return ServedFleets(self.store.served, version(12, "New"), self.store.stored.rollout)

    def controller(self, instance: str = "ingress-1") -> RolloutController[FleetRollout]:
        target = FleetTarget(self.store, self, self.fleets)
        return RolloutController(target, self, instance=Instance(instance), now=lambda: self.now)

    @property
    def state(self) -> FleetRollout:
        assert self.store.stored.rollout is not None
        return self.store.stored.rollout

    def answer(self, number: int, event: ObservedEvent, *, candidate: bool) -> None:
        """Commit turns of that many conversations of one version."""
        known = {commit.conversation for commit in self.commits}
        ids = (ConversationId(f"c{index}") for index in range(10_000))
        drawn = [each for each in ids if each not in known and is_drawn_to_candidate(each, DRAW) is candidate]
        for each in drawn[:number]:
            commit = ObservedCommit(conversation=each, turn=TurnId(f"{each}-1"), at=0.0, events=[event], draw=DRAW)
            self.commits.append(commit)


@pytest.fixture
def suite() -> Suite:
    """A suite whose processes have loaded the candidate."""
    return Suite()


async def test_rollout_runs_to_its_end(suite: Suite) -> None:
    """Step by step, with one version published."""
    controller = suite.controller()
    suite.loaded["agents-1"] = 0
    await controller.step()
    phases = [suite.state.phase]
    suite.loaded["agents-1"] = 12
    await controller.step()
    phases.append(suite.state.phase)
    assert suite.state.share == 50
    suite.answer(3, GOOD, candidate=True)
    await controller.step()
    phases.append(suite.state.phase)
    assert phases == ["preparing", "running", "running"]
    suite.now = 11.0
    for _ in range(3):
        await controller.step()
    assert (suite.state.phase, suite.state.published, suite.store.published) == ("finished", 17, 1)
    assert suite.state.candidate_turns.turns == 3
    await controller.step()
    assert controller.summary == {}


async def test_worse_candidate_goes_back(suite: Suite) -> None:
    """And nothing is published."""
    controller = suite.controller()
    await controller.step()
    suite.answer(30, GOOD, candidate=False)
    suite.answer(12, BAD, candidate=True)
    await controller.step()
    assert (suite.state.phase, suite.state.share, suite.store.published) == ("withdrawn", 0, 0)
    assert suite.state.decisions[-1].reason == "failed: 12 of 12 turns, and 0 of 30 of the served version"


async def test_successor_counts_the_same(suite: Suite) -> None:
    """A controller that takes over reads the log from the start of the roll-out; one that stays reads on."""
    first = suite.controller()
    await first.step()
    suite.answer(5, BAD, candidate=True)
    suite.answer(5, GOOD, candidate=False)
    await first.step()
    await first.step()
    assert suite.reads == [0, 2, 4, 6, 8]
    successor = suite.controller()
    await successor.step()
    assert suite.reads[5:] == [0, 2, 4, 6, 8]
    assert successor.summary == first.summary
    assert "candidate: 5 turns, 5 failed" in successor.summary["roll-out of 12"]


async def test_successor_finishes_what_was_published(suite: Suite) -> None:
    """The process died before it could write the number down: the version is not published again."""
    suite.store.stored = StoredRollout(msgspec.structs.replace(ROLLOUT, phase="finishing", share=100), 3)
    suite.store.dies_after_publishing = True
    with pytest.raises(BusUnavailableError):
        await suite.controller().step()
    suite.store.dies_after_publishing = False
    successor = suite.controller()
    await successor.step()
    await successor.step()
    assert (suite.state.phase, suite.state.published, suite.store.published) == ("finished", 17, 1)


async def test_only_the_first_ready_ingress_decides(suite: Suite) -> None:
    """The next one does as soon as the first one is gone; a second controller is overtaken."""
    second = suite.controller("ingress-2")
    await second.step()
    assert (suite.state.phase, second.summary) == ("preparing", {})
    del suite.loaded["ingress-1"]
    await second.step()
    assert suite.state.phase == "running"
    with pytest.raises(FenceError):
        await suite.store.put(ROLLOUT, after=1)


async def test_nothing_is_decided_without_a_readable_state(suite: Suite) -> None:
    """It is neither raised nor withdrawn."""
    suite.store.stored = StoredRollout(None, 4)
    await suite.controller().step()
    assert suite.store.stored == StoredRollout(None, 4)
