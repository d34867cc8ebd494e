"""Controller of roll-outs: one ingress raises the share, finishes the roll-out or withdraws the candidate.

It is the same for a fleet version and a release, see `rollout_targets`. The state in KV FLEET is all that it knows: its
writes are fenced by the revision, and the counts are read from the log again. A process that dies at any point is
followed by another one, and two that both believe to be the controller do not harm each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic

import structlog
from prometheus_client import Counter, Gauge
from trunkline_chassis.errors import BusError, FenceError
from trunkline_chassis.ticks import next_tick
from trunkline_protocols import codec
from trunkline_protocols.ids import Instance

from trunkline_ingress.application.rollout_targets import RolloutTarget
from trunkline_ingress.core.rollout.decisions import (
    Change,
    Publish,
    Published,
    R,
    Rollout,
    RolloutFacts,
    after,
    decide,
    progress,
)
from trunkline_ingress.core.rollout.evidence import WEIGHTS
from trunkline_ingress.core.rollout.tally import RolloutTally
from trunkline_ingress.operator_ports import CommitFeed

_log: Final = structlog.get_logger(__name__)
_INTERVAL_S: Final = 1.0

_SHARE: Final = Gauge("trunkline_rollout_share_percent", "Share of new conversations that get the candidate")
_EVIDENCE: Final = Gauge("trunkline_rollout_evidence", "Evidence that the candidate is worse; at 50 it is withdrawn")
_TURNS: Final = Gauge(
    "trunkline_rollout_turns", "Finished turns of the running roll-out by version and outcome", ["version", "outcome"]
)
_ENDED: Final = Counter("trunkline_rollouts_total", "Ended roll-outs by outcome", ["outcome"])
for _outcome in ("finished", "withdrawn"):
    _ENDED.labels(_outcome)  # from 0, so that an increase counts the first one too


class RolloutController(Generic[R]):
    """Decides about the roll-out once a second, if this process is the first of the ready ingresses by name."""

    def __init__(
        self, target: RolloutTarget[R], commits: CommitFeed, *, instance: Instance, now: Callable[[], float]
    ) -> None:
        """`now` returns the Unix time in seconds."""
        self._target = target
        self._commits = commits
        self._instance = instance
        self._now = now
        self._tally: RolloutTally | None = None
        self._number = 0
        """Roll-out of the tally."""
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
        number = self._target.active_number()
        if number == 0 or min(self._target.controllers(), default="") != self._instance:
            self._forget()
            return
        state, revision = await self._target.read()
        if state is None or not state.is_active or state.number != number:
            return
        tally = await self._count(state)
        facts = self._target.facts(state, tally, now=self._now())
        self._show(state, facts)
        change = decide(state, facts)
        if change is None:
            return
        if isinstance(change, Publish):
            change = Published(await self._target.publish(state))
        changed = after(state, change, facts, by=self._instance)
        await self._target.put(changed, after=revision)
        _report(changed, change)

    async def _count(self, state: R) -> RolloutTally:
        """Return the tally with all commits of the roll-out; from its start if this process has just taken it over."""
        tally = self._tally
        if tally is None or self._number != state.number:
            tally = RolloutTally(state.number, slow_s=state.slow_s, drawn=self._target.drawn)
            self._tally, self._number, self._position = tally, state.number, state.commits_after
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

    def _show(self, state: R, facts: RolloutFacts) -> None:
        _SHARE.set(state.share)
        _EVIDENCE.set(facts.evidence)
        for version, counts in (("candidate", facts.candidate_turns), ("served", facts.served_turns)):
            for outcome in ("turns", *WEIGHTS):
                _TURNS.labels(version, outcome).set(getattr(counts, outcome))
        text = progress(state.share, facts.candidate_turns, facts.served_turns, facts.evidence)
        self.summary = {f"roll-out of {state.candidate}": text}

    def _forget(self) -> None:
        if self._tally is not None or self.summary:
            self._tally, self._number, self.summary = None, 0, {}
            _SHARE.set(0)
            _EVIDENCE.set(0)
            _TURNS.clear()


def _report(state: Rollout, change: Change) -> None:
    """Log a change and count an end."""
    if isinstance(change, Published):
        _log.info("rollout.published", candidate=state.candidate, version=change.version)
        return
    reason = state.decisions[-1].reason
    if state.phase == "withdrawn":
        _log.error("rollout.withdrawn", candidate=state.candidate, served=state.served, reason=reason)
    elif state.phase == "finished":
        _log.info("rollout.finished", candidate=state.candidate, reason=reason)
    else:
        _log.info("rollout.raised", candidate=state.candidate, share=state.share)
    if not state.is_active:
        _ENDED.labels(state.phase).inc()
