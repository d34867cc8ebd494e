"""Retries: the delay before another round over the providers, and a budget for such rounds.

The budget is filled by calls: if everything fails, retries add a tenth to the load instead of doubling it.
"""

from __future__ import annotations

from typing import Final

MAX_ROUNDS: Final = 3
_MIN_DELAY_S: Final = 0.1
_MAX_DELAY_S: Final = 2.0


class RetryBudget:
    """Permits a share of retries per call, with a bounded reserve."""

    def __init__(self, *, share: float = 0.1, max_reserve: float = 20.0) -> None:
        """Start with a full reserve: a process may retry right after its start."""
        self._share = share
        self._max_reserve = max_reserve
        self._reserve = max_reserve

    def earn(self) -> None:
        """Count one call."""
        self._reserve = min(self._max_reserve, self._reserve + self._share)

    def spend(self) -> bool:
        """Take one retry from the budget; return False if it is empty."""
        if self._reserve < 1.0:
            return False
        self._reserve -= 1.0
        return True


def retry_delay_s(rounds_done: int, remaining_s: float, rng: float, *, retry_after_s: float = 0.0) -> float | None:
    """Return the delay before the next round in seconds, None if there is no further round.

    `remaining_s` is the time until the deadline, `rng` a random number from 0 to 1 (full jitter), `retry_after_s` the
    provider's Retry-After: if it exceeds the customer's remaining time, there is no retry.
    """
    if rounds_done >= MAX_ROUNDS:
        return None
    backoff_s = min(_MIN_DELAY_S * 4.0 ** (rounds_done - 1), _MAX_DELAY_S)
    delay_s = max(retry_after_s, backoff_s * rng)
    return delay_s if delay_s <= min(_MAX_DELAY_S, remaining_s / 2) else None
