"""Turns in flight of one ingress: accepted messages that no commit has settled yet.

Times are seconds of a monotonic clock, passed in by the caller.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from trunkline_protocols.ids import ConversationId

from trunkline_ingress.core.admission.limit import InFlight
from trunkline_ingress.core.admission.recent_answers import AnsweredTurn

_MAX_AGE_S: Final = 120.0
"""Age after which a turn is forgotten: its commit was lost while its customer was away."""

_MAX_SETTLED_EARLY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Reservation:
    """A turn that is being stored."""

    tenant: str


@dataclass(slots=True)
class _Turn:
    tenant: str
    begun_at: float
    is_measured: bool
    """False for a turn whose begin this ingress does not know."""
    outside_s: float = 0.0
    is_started: bool = False


class InFlightTurns:
    """Turns in flight by conversation and inbox sequence, counted by tenant."""

    def __init__(self) -> None:
        """Start without turns."""
        self.by_tenant: Counter[str] = Counter()
        self._turns: dict[ConversationId, dict[int, _Turn]] = {}
        self._settled_early: dict[ConversationId, int] = {}
        """Inbox sequences of commits that arrived before their turn was followed: after its storage, or a resume."""
        self.count = InFlight()
        """Turns, those included that are being stored."""

    def __contains__(self, conversation: ConversationId) -> bool:
        """Return whether a conversation has a turn in flight."""
        return conversation in self._turns

    def reserve(self, tenant: str) -> Reservation:
        """Count a turn that is about to be stored."""
        self._add(tenant, 1)
        return Reservation(tenant)

    def release(self, reservation: Reservation) -> None:
        """Remove a turn that was not stored."""
        self._add(reservation.tenant, -1)

    def begin(
        self, reservation: Reservation, conversation: ConversationId, inbox_seq: int, now: float, *, is_new: bool = True
    ) -> None:
        """Follow a stored turn from now on; its time is measured if it `is_new`."""
        if inbox_seq <= self._settled_early.pop(conversation, 0) or inbox_seq in self._turns.get(conversation, {}):
            self.release(reservation)
        else:
            self._turns.setdefault(conversation, {})[inbox_seq] = _Turn(reservation.tenant, now, is_new)

    def start(self, conversation: ConversationId, now: float) -> float | None:
        """Mark the conversation's oldest turn as begun; return its age, None if it was begun before."""
        turn = next(iter(self._turns.get(conversation, {}).values()), None)
        if turn is None or turn.is_started:
            return None
        turn.is_started = True
        self.count.started += 1
        return now - turn.begun_at if turn.is_measured else None

    def add_outside(self, conversation: ConversationId, inbox_seq: int, outside_s: float) -> None:
        """Add the time outside of a step of a turn that goes on."""
        turn = self._turns.get(conversation, {}).get(inbox_seq)
        if turn is not None:
            turn.outside_s += outside_s

    def settle(
        self, conversation: ConversationId, inbox_seq: int, outside_s: float, now: float, *, is_measured: bool = True
    ) -> list[AnsweredTurn]:
        """End the turns up to `inbox_seq`; the time of the next one, which waited for them, begins now."""
        turns = self._turns.get(conversation, {})
        if not turns:
            self._settled_early[conversation] = inbox_seq
            if len(self._settled_early) > _MAX_SETTLED_EARLY:
                del self._settled_early[next(iter(self._settled_early))]
        answered = []
        for sequence in [sequence for sequence in turns if sequence <= inbox_seq]:
            turn = turns.pop(sequence)
            self._remove(turn)
            outside = turn.outside_s + (outside_s if sequence == inbox_seq else 0.0)
            overhead_s = max(0.0, now - turn.begun_at - outside) if turn.is_measured and is_measured else None
            answered.append(AnsweredTurn(turn.begun_at, overhead_s, outside))
        if turns:
            for turn in turns.values():
                turn.begun_at = now
        else:
            self._turns.pop(conversation, None)
        return answered

    def forget(self, conversation: ConversationId) -> None:
        """Remove the turns of a conversation whose commits go to another ingress."""
        for turn in self._turns.pop(conversation, {}).values():
            self._remove(turn)

    def forget_old(self, now: float) -> None:
        """Remove the conversations whose turns are all too old to be in flight."""
        for conversation, turns in list(self._turns.items()):
            if all(now - turn.begun_at > _MAX_AGE_S for turn in turns.values()):
                self.forget(conversation)

    def _remove(self, turn: _Turn) -> None:
        self._add(turn.tenant, -1)
        self.count.started -= turn.is_started

    def _add(self, tenant: str, number: int) -> None:
        self.count.total += number
        self.by_tenant[tenant] += number
        if self.by_tenant[tenant] <= 0:
            del self.by_tenant[tenant]
