"""Max-min fair shares: small demands are met in full, and the rest is divided evenly among the larger ones.

Source: D. Bertsekas, R. Gallager, Data Networks, 2nd edition 1992, section 6.5.2.
"""

from __future__ import annotations

from collections.abc import Collection


def fair_share(demands: Collection[float], capacity: float) -> float:
    """Return the largest share that a single demand gets; infinite if the capacity meets all of them."""
    remaining = capacity
    for number, demand in enumerate(sorted(demands)):
        share = remaining / (len(demands) - number)
        if demand > share:
            return max(0.0, share)
        remaining -= demand
    return float("inf")
