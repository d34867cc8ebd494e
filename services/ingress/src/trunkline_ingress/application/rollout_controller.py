"""Controller of roll-outs: one ingress raises the share, finishes the roll-out or withdraws the candidate.

The state in KV FLEET is all that it knows: its writes are fenced by the revision, and the counts are read from the log
again. A process that dies at any point is followed by another one, and two that both believe to be the controller do
not harm each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from trunkline_chassis.errors import BusError, FenceError
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_chassis.ticks import next_tick
from trunkline_protocols import codec
from trunkline_protocols.ids import Instance
from trunkline_protocols.presence import Presence
from trunkline_protocols.rollout import FleetRollout

from trunkline_ingress.core.rollout.decisions import Change, Publish, Published, RolloutFacts, after, decide, progress
from trunkline_ingress.core.rollout.evidence import WEIGHTS
from trunkline_ingress.core.rollout.tally import RolloutTally
from trunkline_ingress.operator_ports import CommitFeed, RolloutStore
from trunkline_ingress.ports import LiveProcesses

_log: Final = structlog.get_logger(__name__)
_INTERVAL_S: Final = 1.0
_SERVICES: Final = frozenset({"ingress", "conversation", "agents"})
"""Services that answer turns with the fleet: each must hold both versions before a conversation is drawn."""

_SHARE: Final = Gauge("trunkline_rollout_share_percent", "Share of new conversations that get the candidate")
_EVIDENCE: Final = Gauge("trunkline_rollout_evidence", "Evidence that the candidate is worse; at 50 it is withdrawn")
_TURNS: Final = Gauge(
    "trunkline_rollout_turns", "Finished turns of the running roll-out by version and outcome", ["version", "outcome"]
)
_ENDED: Final = Counter("trunkline_rollouts_total", "Ended roll-outs by outcome", ["outcome"])
for _outcome in ("finished", "withdrawn"):
    _ENDED.labels(_outcome)  # from 0, so that an increase counts the first one too


class RolloutController:
    """Decides about the roll-out once a second, if this process is the first of the ready ingresses by name."""

    def __init__(
        self,
        store: RolloutStore,
        commits: CommitFeed,
        processes: LiveProcesses,
        *,
        fleets: Callable[[], ServedFleets],
        instance: Instance,
        now: Callable[[], float],
    ) -> None:
        """`fleets` returns the versions that this process holds, `now` the Unix time in seconds."""
        self._store = store
        self._commits = commits
        self._processes = processes
        self._fleets = fleets
        self._instance = instance
        self._now = now
        self._tally: RolloutTally | None = None
        self._candidate = 0
        """Candidate of the tally."""
        self._position = 0
        """Sequence of the last counted commit."""
        self.summary: dict[str, str] = {}
        """Counts of the running roll-out for the status of this process, empty if it is not the controller."""

    async def run(self) -> None:
        """Decide until cancelled."""
        while True:
            await next_tick(_INTERVAL_S)
            try:
                await self.step()
            except FenceError:
                _log.info("rollout.overtaken")
            except (BusError, codec.DecodeError) as error:
                _log.warning("rollout.step_failed", error=str(error))

    async def step(self) -> None:
        """Count the new commits and make the change that is due, if any."""
        fleets = self._fleets()
        candidate = fleets.active_candidate
        if candidate is None or not self._is_controller():
            self._forget()
            return
        stored = await self._store.read()
        state = stored.rollout
        if state is None or not state.is_active or state.candidate != candidate.version:
            return
        tally = await self._count(state)
        facts = self._facts(state, fleets.served, candidate, tally)
        self._show(state, facts)
        change = decide(state, facts)
        if change is None:
            return
        if isinstance(change, Publish):
            note = candidate.published.note or f"rolled out from candidate {candidate.version}"
            published = await self._store.publish(candidate, after=state.served, note=note)
            change = Published(published.version)
        changed = after(state, change, facts, by=self._instance)
        await self._store.put(changed, after=stored.revision)
        _report(changed, change)

    def _is_controller(self) -> bool:
        ready = (each.instance for each in self._processes.alive() if each.service == "ingress" and _is_ready(each))
        return min(ready, default="") == self._instance

    async def _count(self, state: FleetRollout) -> RolloutTally:
        """Return the tally with all commits of the roll-out; from its start if this process has just taken it over."""
        tally = self._tally
        if tally is None or self._candidate != state.candidate:
            tally, self._candidate, self._position = (
                RolloutTally(state.candidate, slow_s=state.slow_s),
                state.candidate,
                state.commits_after,
            )
            self._tally = tally
        last = await self._commits.last()
        while self._position < last:
            found = await self._commits.read(after=self._position)
            if not found:
                break
            for sequence, commit in found:
                self._position = sequence
                if commit is not None:
                    tally.add(commit)
        return tally

    def _facts(
        self, state: FleetRollout, served: FleetVersion, candidate: FleetVersion, tally: RolloutTally
    ) -> RolloutFacts:
        ready = [each for each in self._processes.alive() if each.service in _SERVICES and _is_ready(each)]
        return RolloutFacts(
            now=self._now(),
            served_version=served.version,
            is_candidate_served=served.fleet == candidate.fleet,
            behind=[each.instance for each in ready if each.candidate_version != state.candidate],
            behind_published=[each.instance for each in ready if each.fleet_version < state.published],
            candidate_turns=tally.candidate_turns,
            served_turns=tally.served_turns,
            evidence=tally.evidence.value,
            strongest=tally.evidence.strongest,
        )

    def _show(self, state: FleetRollout, facts: RolloutFacts) -> None:
        _SHARE.set(state.share)
        _EVIDENCE.set(facts.evidence)
        for version, counts in (("candidate", facts.candidate_turns), ("served", facts.served_turns)):
            for outcome in ("turns", *WEIGHTS):
                _TURNS.labels(version, outcome).set(getattr(counts, outcome))
        text = progress(state.share, facts.candidate_turns, facts.served_turns, facts.evidence)
        self.summary = {f"roll-out of {state.candidate}": text}

    def _forget(self) -> None:
        if self._tally is not None or self.summary:
            self._tally, self._candidate, self.summary = None, 0, {}
            _SHARE.set(0)
            _EVIDENCE.set(0)
            _TURNS.clear()


def _is_ready(presence: Presence) -> bool:
    return presence.state == "ready"


def _report(state: FleetRollout, change: Change) -> None:
    """Log a change and count an end."""
    if isinstance(change, Published):
        _log.info("rollout.published", candidate=state.candidate, version=change.version)
        return
    reason = state.decisions[-1].reason
    if state.phase == "withdrawn":
        _log.error("rollout.withdrawn", candidate=state.candidate, served=state.served, reason=reason)
    elif state.phase == "finished":
        _log.info("rollout.finished", candidate=state.candidate, version=state.published)
    else:
        _log.info("rollout.raised", candidate=state.candidate, share=state.share)
    if not state.is_active:
        _ENDED.labels(state.phase).inc()
