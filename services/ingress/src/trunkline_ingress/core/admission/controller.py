"""Decision on each new turn: admitted within the limit and the tenant's fair share, else refused with a time to retry.

Times are seconds of a monotonic clock, passed in by the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from trunkline_protocols.ids import ConversationId

from trunkline_ingress.core.admission.limit import AdaptiveLimit, AdmissionPolicy, SuiteLoad
from trunkline_ingress.core.admission.shares import fair_share
from trunkline_ingress.core.admission.turns import InFlightTurns, Reservation

Reason: TypeAlias = Literal["limit", "tenant_share"]

MIN_RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 15.0
_JITTER: Final = 0.25
_DEMAND_S: Final = 1.0
"""A refused turn counts as its tenant's demand for about this time."""
_BACKLOG_S: Final = 5.0
"""A refused turn counts as one that comes back for about this time."""
_NEGLIGIBLE: Final = 0.01


@dataclass(frozen=True, slots=True)
class TurnRefused:
    """The turn may not start now."""

    reason: Reason
    """`tenant_share`: others use less than the tenant, and would wait for it."""
    retry_after_s: float


@dataclass(slots=True)
class _DecayingCount:
    decay_s: float
    _count: float = 0.0
    _at: float = 0.0

    def add(self, now: float) -> None:
        self._count = self.value(now) + 1
        self._at = now

    def value(self, now: float) -> float:
        return self._count * math.exp((self._at - now) / self.decay_s)


class AdmissionController:
    """Admits turns of one ingress."""

    def __init__(self, policy: AdmissionPolicy) -> None:
        """Start open, with no other process known."""
        self.load = SuiteLoad()
        """The latest figures of the other processes."""
        self.turns = InFlightTurns()
        self._is_enabled = policy.is_enabled
        self._limit = AdaptiveLimit(policy)
        self._refused_by_tenant: dict[str, _DecayingCount] = {}
        self._backlog = _DecayingCount(_BACKLOG_S)

    def capacity(self) -> float:
        """Return the number of turns that may be in flight; infinite if disabled, or if a load is not known."""
        if not self._is_enabled or self.load.outside is None:
            return math.inf
        return self._limit.waiting(self.load) + self._limit.outside(self.load, self.turns.count)

    # -- progress of turns ---

    def begin(self, reservation: Reservation, conversation: ConversationId, inbox_seq: int, now: float) -> None:
        """Follow a turn that was stored."""
        self.turns.begin(reservation, conversation, inbox_seq, now)

    def start(self, conversation: ConversationId, now: float) -> None:
        """Record a text of the conversation's turn."""
        age_s = self.turns.start(conversation, now)
        if age_s is not None:
            self._limit.record_start(age_s, now)

    def settle(
        self, conversation: ConversationId, inbox_seq: int, outside_s: float, now: float, *, is_measured: bool = True
    ) -> None:
        """Record the end of the turns up to `inbox_seq`; `is_measured` is false if its time shows nothing."""
        self.start(conversation, now)
        for turn in self.turns.settle(conversation, inbox_seq, outside_s, now, is_measured=is_measured):
            self._limit.record(turn, now)

    # -- decisions ---

    def update(self, now: float) -> None:
        """Adapt the limit to the answers and heartbeats; also if no turn arrives."""
        self._limit.update(self.load, self.turns.count, now)

    def decide(self, tenant: str, now: float, *, rng: float) -> Reservation | TurnRefused:
        """Reserve a turn of a tenant, or refuse it; `rng` is a random number from 0 to 1."""
        self.update(now)
        capacity = self.capacity()
        if self.turns.count.total + 1 <= capacity:
            return self.turns.reserve(tenant)
        share = fair_share(self._demands(tenant, now).values(), capacity)
        if self.turns.by_tenant[tenant] + 1 <= share:
            return self.turns.reserve(tenant)
        self._limit.refused(now)
        self._backlog.add(now)
        self._refused_by_tenant.setdefault(tenant, _DecayingCount(_DEMAND_S)).add(now)
        reason: Reason = "limit" if share >= math.floor(capacity) else "tenant_share"
        return TurnRefused(reason, self._retry_after_s(now, rng))

    def _demands(self, tenant: str, now: float) -> dict[str, float]:
        """Return the demand of every active tenant: its turns in flight and those refused, and the new one."""
        demands: dict[str, float] = dict(self.turns.by_tenant)
        for name, refused in list(self._refused_by_tenant.items()):
            count = refused.value(now)
            if count < _NEGLIGIBLE:
                del self._refused_by_tenant[name]
            else:
                demands[name] = demands.get(name, 0.0) + count
        demands[tenant] = demands.get(tenant, 0.0) + 1
        return demands

    def _retry_after_s(self, now: float, rng: float) -> float:
        """Return the time in which the refused turns would be answered, so that they do not all come back at once."""
        wait_s = self._backlog.value(now) / max(1.0, self._limit.rate)
        jitter = 1 - _JITTER + 2 * _JITTER * rng
        return min(max(wait_s, MIN_RETRY_S), MAX_RETRY_S) * jitter
