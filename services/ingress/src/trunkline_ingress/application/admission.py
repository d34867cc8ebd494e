"""Admission of turns at this ingress: reserves, follows and refuses them, reports episodes of overload (ADR 0041)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from trunkline_chassis.ticks import next_tick
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.log import CommitStored
from trunkline_protocols.presence import Presence
from trunkline_protocols.turn import Delta

from trunkline_ingress.core.admission import AdmissionController, AdmissionPolicy, SuiteLoad, TurnRefused
from trunkline_ingress.core.admission.commits import is_telling, outside_s
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.ports import EscalationView, LiveProcesses

_log: Final = structlog.get_logger(__name__)
_REFUSED: Final = Counter(
    "trunkline_admission_refused_total", "Turns refused because the suite answers as fast as it can", ["reason"]
)
_LIMIT: Final = Gauge("trunkline_admission_limit", "Turns that may be in flight at this ingress")
_IN_FLIGHT: Final = Gauge("trunkline_admission_in_flight", "Accepted turns without an answer at this ingress")

_INTERVAL_S: Final = 0.25
_EPISODE_S: Final = 3.0
"""Time without a refusal after which an episode of overload has ended."""
_REPORTING: Final = "llm_gateway"
"""Service whose calls outside must be known: models take most of a turn's time."""


class OverloadedError(Exception):
    """The suite answers as fast as it can: the message was not stored, and may be sent again."""

    def __init__(self, retry_after_s: float) -> None:
        """Keep the time in seconds after which it may be admitted."""
        super().__init__("too many turns wait for an answer")
        self.retry_after_s = retry_after_s


class AdmissionControl:
    """Decides on new turns by the age of the queue."""

    def __init__(
        self,
        policy: AdmissionPolicy,
        processes: LiveProcesses,
        escalations: EscalationView,
        *,
        instance: Instance,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Read the load of the suite from heartbeats; `clock` returns monotonic seconds."""
        self._controller = AdmissionController(policy)
        self._processes = processes
        self._escalations = escalations
        self._instance = instance
        self._clock = clock
        self._rng = rng
        self._refused_at = self._episode_at = float("-inf")
        self._refused = 0
        """Refusals in this episode, 0 without one."""

    @property
    def in_flight(self) -> int:
        """Number of accepted turns without an answer."""
        return self._controller.turns.count.total

    @property
    def is_refusing(self) -> bool:
        """Whether turns were refused in the last seconds."""
        return bool(self._refused)

    @contextmanager
    def reserved(self, identity: Identity, *, is_exempt: bool) -> Iterator[Callable[[int], None]]:
        """Reserve a turn while its message is stored; the yielded function takes the sequence in the inbox.

        An exempt turn is always admitted, and a conversation at the desk does not count. Raises `OverloadedError`.
        """
        now, conversation = self._clock(), identity.conversation
        if conversation in self._escalations.values:
            yield lambda _: None
            return
        tenant = _tenant(identity)
        reservation = self._controller.turns.reserve(tenant) if is_exempt else None
        if reservation is None:
            decision = self._controller.decide(tenant, now, rng=self._rng())
            if isinstance(decision, TurnRefused):
                self._count(decision, now)
                raise OverloadedError(decision.retry_after_s)
            reservation = decision
        begun: list[int] = []

        def begin(inbox_seq: int) -> None:
            begun.append(inbox_seq)
            self._controller.begin(reservation, conversation, inbox_seq, now)

        try:
            yield begin
        finally:
            if not begun:
                self._controller.turns.release(reservation)

    def adopt(self, identity: Identity, inbox_seqs: Iterable[int]) -> None:
        """Count the unanswered messages of a conversation that was resumed here."""
        turns = self._controller.turns
        for inbox_seq in inbox_seqs:
            reservation = turns.reserve(_tenant(identity))
            turns.begin(reservation, identity.conversation, inbox_seq, self._clock(), is_new=False)

    def is_following(self, conversation: ConversationId) -> bool:
        """Return whether a conversation has a turn in flight."""
        return conversation in self._controller.turns

    def observe(self, item: CommitStored | Delta) -> None:
        """Follow the progress of a turn."""
        now = self._clock()
        if isinstance(item, Delta):
            self._controller.start(item.ref.conversation, now)
            return
        commit = item.commit
        if commit.settles:
            self._controller.settle(
                commit.conversation, commit.inbox_seq, outside_s(commit), now, is_measured=is_telling(commit)
            )
        else:
            self._controller.turns.add_outside(commit.conversation, commit.inbox_seq, outside_s(commit))

    def forget(self, conversation: ConversationId) -> None:
        """End the count of a conversation whose commits go to another ingress."""
        self._controller.turns.forget(conversation)

    async def run(self) -> None:
        """Follow the heartbeats and report episodes until cancelled."""
        while True:
            self.refresh()
            await next_tick(_INTERVAL_S)

    def refresh(self) -> None:
        """Read the heartbeats, and end an episode that is over."""
        now = self._clock()
        self._controller.load = suite_load(self._processes.alive(), self._instance)
        self._controller.update(now)
        self._controller.turns.forget_old(now)
        _LIMIT.set(self._controller.capacity())
        _IN_FLIGHT.set(self.in_flight)
        if self._refused and now - self._refused_at > _EPISODE_S:
            duration_s = round(self._refused_at - self._episode_at, 1)
            _log.info("admission.recovered", refused=self._refused, duration_s=duration_s)
            self._refused = 0

    def _count(self, refused: TurnRefused, now: float) -> None:
        _REFUSED.labels(refused.reason).inc()
        self._refused_at = now
        if not self._refused:
            self._episode_at = now
            # Once per episode: a line for each refusal would be a load of its own.
            _log.warning(
                "admission.refusing",
                reason=refused.reason,
                in_flight=self.in_flight,
                limit=round(self._controller.capacity(), 1),
            )
        self._refused += 1


class AdmitAll:
    """Admission of a bench or test: admits every turn and follows none."""

    @contextmanager
    def reserved(self, identity: Identity, *, is_exempt: bool) -> Iterator[Callable[[int], None]]:
        """Admit a turn."""
        del self, identity, is_exempt
        yield lambda _: None

    def adopt(self, identity: Identity, inbox_seqs: Iterable[int]) -> None:
        """Do nothing."""

    def is_following(self, conversation: ConversationId) -> bool:
        """Return False."""
        del self, conversation
        return False

    def observe(self, item: CommitStored | Delta) -> None:
        """Do nothing."""

    def forget(self, conversation: ConversationId) -> None:
        """Do nothing."""


ADMIT_ALL: Final = AdmitAll()


def suite_load(alive: Iterable[Presence], instance: Instance) -> SuiteLoad:
    """Return the load in the heartbeats of the live processes, without that of this instance."""
    ingresses, turns, outside, work_age_s = 1, 0, 0, 0.0
    is_known = True
    for presence in alive:
        if presence.service == "ingress" and presence.instance != instance:
            ingresses += 1
            turns += presence.turns
        is_known = is_known and not (presence.service == _REPORTING and presence.outside is None)
        outside += presence.outside or 0
        work_age_s = max(work_age_s, presence.work_age_s)
    return SuiteLoad(ingresses, turns, outside if is_known else None, work_age_s)


def _tenant(identity: Identity) -> str:
    """Return the tenant whose share a turn takes: a name that nothing proves has none of its own."""
    return identity.tenant if identity.verified else ""
