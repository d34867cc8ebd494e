"""Circuit breaker of one model at one provider.

closed     calls are admitted; opens after consecutive failures, or if too many of the latest calls have failed
open       calls are rejected until the pause is over; each further failure doubles the pause
half open  one call at a time is admitted as a probe; a few successes close it, a failure opens it

The outcome of a call is recorded when it has *ended*: a stream that opens and breaks later is a failure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["closed", "half_open", "open"]
CallOutcome: TypeAlias = Literal["success", "failure", "ignored"]
"""`ignored` is no evidence about the provider: the customer left, or the request itself was wrong."""

STATE_NUMBER: Final[dict[State, int]] = {"closed": 0, "half_open": 1, "open": 2}
"""Values of the state in metrics."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Thresholds for opening and closing, and the length of the pause in between."""

    max_consecutive_failures: int = 5
    window: int = 20
    min_calls: int = 10
    failure_share: float = 0.5
    min_pause_s: float = 1.0
    max_pause_s: float = 30.0
    successes_to_close: int = 2


class Ticket(msgspec.Struct, frozen=True):
    """Admission of one call, handed back with its outcome."""

    generation: int
    is_probe: bool


class Breaker:
    """State machine of a circuit breaker, initially closed."""

    def __init__(self, policy: BreakerPolicy, rng: Callable[[], float]) -> None:
        """`rng` returns a random number from 0 to 1: pauses are jittered so that processes do not probe together."""
        self._policy = policy
        self._rng = rng
        self._state: State = "closed"
        self._generation = 0
        self._recent: deque[bool] = deque(maxlen=policy.window)
        self._consecutive_failures = 0
        self._pauses = 0
        self._open_until = 0.0
        self._is_probing = False
        self._successes = 0

    def state(self, now: float) -> State:
        """Return the state at a time in seconds; an open breaker becomes half open when its pause is over."""
        if self._state == "open" and now >= self._open_until:
            self._enter("half_open")
        return self._state

    def admit(self, now: float) -> Ticket | None:
        """Admit one call, or return None if it is rejected."""
        match self.state(now):
            case "closed":
                return Ticket(self._generation, is_probe=False)
            case "half_open" if not self._is_probing:
                self._is_probing = True
                return Ticket(self._generation, is_probe=True)
            case _:
                return None

    def settle(self, ticket: Ticket, outcome: CallOutcome, now: float, *, retry_after_s: float = 0.0) -> None:
        """Record the outcome of a call that has ended; `retry_after_s` is the provider's Retry-After."""
        if ticket.generation != self._generation:
            # The call began in an earlier state and is no evidence about this one.
            return
        if ticket.is_probe:
            self._is_probing = False
        if retry_after_s > 0:
            self._open(now, min(retry_after_s, self._policy.max_pause_s))
        elif outcome == "success":
            self._record_success()
        elif outcome == "failure":
            self._record_failure(now)

    def _record_success(self) -> None:
        self._consecutive_failures = 0
        self._recent.append(True)
        if self._state == "half_open":
            self._successes += 1
            if self._successes >= self._policy.successes_to_close:
                self._pauses = 0
                self._enter("closed")

    def _record_failure(self, now: float) -> None:
        self._consecutive_failures += 1
        self._recent.append(False)
        if self._state == "half_open" or self._has_too_many_failures():
            pause_s = min(self._policy.min_pause_s * 2.0 ** min(self._pauses, 16), self._policy.max_pause_s)
            self._pauses += 1
            self._open(now, pause_s)

    def _has_too_many_failures(self) -> bool:
        if self._consecutive_failures >= self._policy.max_consecutive_failures:
            return True
        calls, failures = len(self._recent), self._recent.count(False)
        return calls >= self._policy.min_calls and failures >= self._policy.failure_share * calls

    def _open(self, now: float, pause_s: float) -> None:
        self._open_until = now + pause_s * (1.0 + 0.2 * self._rng())
        self._enter("open")

    def _enter(self, state: State) -> None:
        self._state = state
        self._generation += 1
        self._is_probing = False
        self._successes = 0
        self._consecutive_failures = 0
        self._recent.clear()
