"""How well caches do: one pair of counters for all of them, told apart by the cache's name."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

HITS: Final = Counter("trunkline_cache_hits_total", "Answers that a cache had", ["cache"])
MISSES: Final = Counter("trunkline_cache_misses_total", "Answers that a cache had not", ["cache"])
