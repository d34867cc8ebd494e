"""The circuit breaker of one model at one provider: whether it is asked at all.

closed     asked; opens after failures in a row, or when too many of the last calls failed
open       not asked until it has rested; each further failure doubles the rest
half open  asked by one call at a time; a few that succeed close it, one that fails opens it

A call is judged when it has *ended*: a stream that opens and dies late is a failure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["closed", "half_open", "open"]
Verdict: TypeAlias = Literal["good", "bad", "neutral"]
"""How a call ended; neutral says nothing of the provider: the customer left, or the request itself was wrong."""

STATE_NUMBER: Final[dict[State, int]] = {"closed": 0, "half_open": 1, "open": 2}
"""How metrics show a state."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to open, how long to rest, when to close."""

    failures_in_a_row: int = 5
    window: int = 20
    least_calls: int = 10
    failure_share: float = 0.5
    first_rest_s: float = 1.0
    longest_rest_s: float = 30.0
    successes_to_close: int = 2


class Ticket(msgspec.Struct, frozen=True):
    """Leave for one call; handed back with its verdict."""

    generation: int
    is_probe: bool


class Breaker:
    """Closed at first."""

    def __init__(self, policy: BreakerPolicy, rng: Callable[[], float]) -> None:
        """`rng` returns a random number from 0 to 1: rests differ, so that processes do not probe together."""
        self._policy = policy
        self._rng = rng
        self._state: State = "closed"
        self._generation = 0
        self._recent: deque[bool] = deque(maxlen=policy.window)
        self._in_a_row = 0
        self._rests = 0
        self._open_until = 0.0
        self._is_probing = False
        self._successes = 0

    def state(self, now: float) -> State:
        """Return the state at a time in seconds; an open one that has rested is half open."""
        if self._state == "open" and now >= self._open_until:
            self._become("half_open")
        return self._state

    def admit(self, now: float) -> Ticket | None:
        """Give leave for one call, or None."""
        match self.state(now):
            case "closed":
                return Ticket(self._generation, is_probe=False)
            case "half_open" if not self._is_probing:
                self._is_probing = True
                return Ticket(self._generation, is_probe=True)
            case _:
                return None

    def settle(self, ticket: Ticket, verdict: Verdict, now: float, *, retry_after_s: float = 0.0) -> None:
        """Judge a call that has ended; `retry_after_s` is how long the provider itself asked to be left alone."""
        if ticket.generation != self._generation:
            # It began under another state and says nothing about this one.
            return
        if ticket.is_probe:
            self._is_probing = False
        if retry_after_s > 0:
            self._open(now, min(retry_after_s, self._policy.longest_rest_s))
        elif verdict == "good":
            self._succeed()
        elif verdict == "bad":
            self._fail(now)

    def _succeed(self) -> None:
        self._in_a_row = 0
        self._recent.append(True)
        if self._state == "half_open":
            self._successes += 1
            if self._successes >= self._policy.successes_to_close:
                self._rests = 0
                self._become("closed")

    def _fail(self, now: float) -> None:
        self._in_a_row += 1
        self._recent.append(False)
        if self._state == "half_open" or self._is_too_much():
            retry_after_s = min(self._policy.first_rest_s * 2.0 ** min(self._rests, 16), self._policy.longest_rest_s)
            self._rests += 1
            self._open(now, retry_after_s)

    def _is_too_much(self) -> bool:
        if self._in_a_row >= self._policy.failures_in_a_row:
            return True
        failed = self._recent.count(False)
        return len(self._recent) >= self._policy.least_calls and failed >= self._policy.failure_share * len(
            self._recent
        )

    def _open(self, now: float, retry_after_s: float) -> None:
        self._open_until = now + retry_after_s * (1.0 + 0.2 * self._rng())
        self._become("open")

    def _become(self, state: State) -> None:
        self._state = state
        self._generation += 1
        self._is_probing = False
        self._successes = 0
        self._in_a_row = 0
        self._recent.clear()
