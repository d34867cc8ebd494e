"""Delays between retries: exponential, capped, and spread so that several processes do not retry together. Pure."""

from __future__ import annotations


def backoff_s(failures: int, jitter: float, *, min_s: float, max_s: float) -> float:
    """Return the seconds until the next attempt after a number of failures in a row; `jitter` is in [0, 1).

    The delay doubles from `min_s` to `max_s`; half to all of it is waited.
    """
    return min(min_s * 2.0 ** min(max(failures, 1) - 1, 16), max_s) * (0.5 + jitter / 2)
