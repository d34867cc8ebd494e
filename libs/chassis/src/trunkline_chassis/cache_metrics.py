"""Hit and miss counters shared by all caches of a process, labelled with the cache's name."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from prometheus_client import Counter

CACHE_HITS: Final = Counter("trunkline_cache_hits_total", "Cache hits", ["cache"])
CACHE_MISSES: Final = Counter("trunkline_cache_misses_total", "Cache misses", ["cache"])


def count_lookup(cache: str, hits: int, misses: int) -> None:
    """Count the hits and misses of one lookup of one or several keys."""
    counted_hits, counted_misses = _counters(cache)
    counted_hits.inc(hits)
    counted_misses.inc(misses)


@lru_cache
def _counters(cache: str) -> tuple[Counter, Counter]:
    """Return the counters of one cache: finding them by their label takes longer than counting."""
    return CACHE_HITS.labels(cache), CACHE_MISSES.labels(cache)
