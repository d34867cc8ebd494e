"""Hits and misses of every cache in a process: one pair of metrics, told apart by the cache's name."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

HITS: Final = Counter("trunkline_cache_hits_total", "Answers that a cache had", ["cache"])
MISSES: Final = Counter("trunkline_cache_misses_total", "Answers that a cache had not", ["cache"])


def count_lookup(cache: str, hits: int, misses: int) -> None:
    """Count one look into a cache, for one thing or for many."""
    HITS.labels(cache).inc(hits)
    MISSES.labels(cache).inc(misses)
