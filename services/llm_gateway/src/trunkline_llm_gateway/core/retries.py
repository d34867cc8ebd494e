"""Another round over the same providers: whether there is one, and after what pause.

Retries come out of a budget that calls fill: when everything fails, they are a tenth of the load and not its double.
"""

from __future__ import annotations

from typing import Final

MOST_ROUNDS: Final = 3
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


class RetryBudget:
    """A tenth of a retry for every call, a few saved up."""

    def __init__(self, *, share: float = 0.1, most: float = 20.0) -> None:
        """Begin with the savings full: a process that has just started may retry too."""
        self._share = share
        self._most = most
        self._saved = most

    def earn(self) -> None:
        """Count one call."""
        self._saved = min(self._most, self._saved + self._share)

    def spend(self) -> bool:
        """Take one retry out of the budget; False when there is none."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


def pause_s(rounds_done: int, left_s: float, rng: float, *, asked_s: float = 0.0) -> float | None:
    """Return the pause before the next round, None when there is none.

    `left_s` is the time until the deadline, `rng` a random number from 0 to 1 (full jitter), `asked_s` how long a
    provider asked to wait (Retry-After): a longer wait than a customer has is no retry.
    """
    if rounds_done >= MOST_ROUNDS:
        return None
    longest_s = min(_FIRST_PAUSE_S * 4.0 ** (rounds_done - 1), _LONGEST_PAUSE_S)
    wait_s = max(asked_s, longest_s * rng)
    return wait_s if wait_s <= min(_LONGEST_PAUSE_S, left_s / 2) else None
