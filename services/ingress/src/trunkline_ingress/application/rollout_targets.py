"""Objects of a roll-out: a fleet version, and a release. They differ in their state, and in when they are ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from trunkline_chassis.fleet_store import FleetVersion
from trunkline_chassis.release_view import ReleaseView
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_protocols.presence import Presence
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout

from trunkline_ingress.core.rollout.decisions import R, RolloutFacts
from trunkline_ingress.core.rollout.tally import Drawn, ObservedCommit, RolloutTally, drawn_release, drawn_version
from trunkline_ingress.operator_ports import ReleaseStore, RolloutStore
from trunkline_ingress.ports import LiveProcesses

_INGRESS: Final = "ingress"
_AGENTS: Final = "agents"
_SERVICES: Final = frozenset({_INGRESS, "conversation", _AGENTS})
"""Services that answer turns with the fleet: each must hold both versions before a conversation is drawn."""
_DRAWING: Final = frozenset({"conversation", _AGENTS})
"""Services that must know of a release's roll-out before a conversation is drawn, and keep its draw."""


class RolloutTarget(Protocol[R]):
    """The object that a controller rolls out."""

    def active_number(self) -> int:
        """Return the number of the active roll-out as this process knows it, 0 without one."""
        ...

    def controllers(self) -> Sequence[str]:
        """Return the ready ingresses that can control it; the first one by name does."""
        ...

    async def read(self) -> tuple[R | None, int]:
        """Read the state, None without a readable one, and its revision."""
        ...

    async def put(self, rollout: R, *, after: int) -> None:
        """Store the successor of revision `after`; raise `FenceError` if another process changed it."""
        ...

    def drawn(self, commit: ObservedCommit, number: int) -> Drawn | None:
        """Return the draw of a commit's conversation, None if it has none of this roll-out."""
        ...

    def facts(self, state: R, tally: RolloutTally, *, now: float) -> RolloutFacts:
        """Return the inputs of a decision at `now` in Unix seconds."""
        ...

    async def publish(self, state: R) -> int:
        """Publish the candidate as the served version and return its number."""
        ...


class FleetTarget:
    """Roll-out of a fleet version."""

    def __init__(self, store: RolloutStore, processes: LiveProcesses, fleets: Callable[[], ServedFleets]) -> None:
        """`fleets` returns the versions that this process holds."""
        self._store = store
        self._processes = processes
        self._fleets = fleets
        self._candidate: FleetVersion | None = None
        """Candidate of the step: that of the process may be replaced while the step waits."""
        self.drawn = drawn_version

    def active_number(self) -> int:
        """Return the number of the candidate."""
        self._candidate = self._fleets().active_candidate
        return self._candidate.version if self._candidate is not None else 0

    def controllers(self) -> Sequence[str]:
        """Return all ready ingresses."""
        return [each.instance for each in self._ready() if each.service == _INGRESS]

    async def read(self) -> tuple[FleetRollout | None, int]:
        """Read the state."""
        stored = await self._store.read()
        return stored.rollout, stored.revision

    async def put(self, rollout: FleetRollout, *, after: int) -> None:
        """Store the state."""
        await self._store.put(rollout, after=after)

    def facts(self, state: FleetRollout, tally: RolloutTally, *, now: float) -> RolloutFacts:
        """Return which processes have loaded the versions, and the counts."""
        fleets, candidate = self._fleets(), self._held(state)
        ready = [each for each in self._ready() if each.service in _SERVICES]
        return RolloutFacts(
            now=now,
            served_version=fleets.served.version,
            is_candidate_served=fleets.served.fleet == candidate.fleet,
            behind=[each.instance for each in ready if each.candidate_version != state.candidate],
            behind_published=[each.instance for each in ready if each.fleet_version < state.published],
            candidate_turns=tally.candidate_turns,
            served_turns=tally.served_turns,
            evidence=tally.evidence.value,
            strongest=tally.evidence.strongest,
        )

    async def publish(self, state: FleetRollout) -> int:
        """Publish the candidate as the successor of the version that it was compared with."""
        candidate = self._held(state)
        note = candidate.published.note or f"rolled out from candidate {candidate.version}"
        return (await self._store.publish(candidate, after=state.served, note=note)).version

    def _held(self, state: FleetRollout) -> FleetVersion:
        """Return the candidate whose roll-out the controller has found active."""
        if self._candidate is None or self._candidate.version != state.candidate:
            raise LookupError(f"candidate {state.candidate} is not held")
        return self._candidate

    def _ready(self) -> list[Presence]:
        return [each for each in self._processes.alive() if each.state == "ready"]


class ReleaseTarget:
    """Roll-out of a release to the agents."""

    def __init__(self, store: ReleaseStore, processes: LiveProcesses, view: ReleaseView) -> None:
        """`view` holds the state as this process knows it."""
        self._store = store
        self._processes = processes
        self._view = view
        self._lacking_since: float | None = None
        self.drawn = drawn_release

    def active_number(self) -> int:
        """Return the number of the roll-out."""
        release = self._view.release
        return release.number if release is not None and release.is_active else 0

    def controllers(self) -> Sequence[str]:
        """Return the ready ingresses that know this roll-out: one of an older release would not continue it."""
        number = self._view.number
        return [each.instance for each in self._ready(_INGRESS) if each.release_rollout == number]

    async def read(self) -> tuple[ReleaseRollout | None, int]:
        """Read the state."""
        stored = await self._store.read()
        return stored.rollout, stored.revision

    async def put(self, rollout: ReleaseRollout, *, after: int) -> None:
        """Store the state."""
        await self._store.put(rollout, after=after)

    def facts(self, state: ReleaseRollout, tally: RolloutTally, *, now: float) -> RolloutFacts:
        """Return which processes do not know the roll-out, which specialties the candidate lacks, and the counts."""
        unaware = [each.instance for each in self._ready(*_DRAWING) if each.release_rollout != state.number]
        lacking = self._lacking(state)
        if not lacking:
            self._lacking_since = None
        elif self._lacking_since is None:
            self._lacking_since = now
        return RolloutFacts(
            now=now,
            served_version=0,
            is_candidate_served=False,
            behind=[*unaware, *(f"{state.candidate} agents of {specialty}" for specialty in lacking)],
            behind_published=[],
            candidate_turns=tally.candidate_turns,
            served_turns=tally.served_turns,
            evidence=tally.evidence.value,
            strongest=tally.evidence.strongest,
            unavailable=f"no {state.candidate} agents of {', '.join(lacking)} are ready" if lacking else "",
            unavailable_s=now - self._lacking_since if self._lacking_since is not None else 0.0,
        )

    async def publish(self, state: ReleaseRollout) -> int:
        """A release is in force as soon as its roll-out is finished: there is no number to publish."""
        raise NotImplementedError(f"release {state.candidate} is not published")

    def _lacking(self, state: ReleaseRollout) -> list[str]:
        """Return the specialties that other agents serve and those of the candidate do not."""
        agents = self._ready(_AGENTS)
        needed = {name for each in agents for name in each.specialties}
        served = {name for each in agents if each.colour == state.candidate for name in each.specialties}
        # Without any agents process there is no specialty, and no candidate either.
        return sorted(needed - served) or ([] if served else ["any specialty"])

    def _ready(self, *services: str) -> list[Presence]:
        return [each for each in self._processes.alive() if each.state == "ready" and each.service in services]
