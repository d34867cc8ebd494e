"""Hits and misses of every cache in a process: one pair of metrics, told apart by the cache's name."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

CACHE_HITS: Final = Counter("trunkline_cache_hits_total", "Answers that a cache had", ["cache"])
CACHE_MISSES: Final = Counter("trunkline_cache_misses_total", "Answers that a cache had not", ["cache"])


def count_lookup(cache: str, hits: int, misses: int) -> None:
    """Count one look into a cache, for one thing or for many."""
    CACHE_HITS.labels(cache).inc(hits)
    CACHE_MISSES.labels(cache).inc(misses)
