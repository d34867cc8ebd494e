"""One budget over all frames and requests: by customer, by network address and by tenant."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from trunkline_ingress.core.token_bucket import TokenBucket

Payer: TypeAlias = Literal["customer", "address", "tenant"]

_MAX_BUCKETS: Final = 20_000
"""Buckets kept; beyond that the least recently used ones are forgotten."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A sustained rate and a burst above it."""

    per_s: float
    burst: int


class Budget:
    """Buckets of all payers. A frame is paid for by all of its payers or by none."""

    def __init__(self, rates: Mapping[Payer, Rate]) -> None:
        """Use one rate for each kind of payer."""
        self._rates = rates
        self._buckets: OrderedDict[tuple[Payer, Hashable], TokenBucket] = OrderedDict()

    def charge(self, payers: Mapping[Payer, Hashable], now: float) -> float:
        """Take one token from the bucket of every payer and return 0.

        If one of them is empty, take none and return the seconds until the frame can be paid for.
        """
        buckets = [self._bucket(kind, key, now) for kind, key in payers.items()]
        wait_s = max((bucket.wait_s(now) for bucket in buckets), default=0.0)
        if wait_s <= 0:
            for bucket in buckets:
                bucket.take(now)
        return wait_s

    def _bucket(self, kind: Payer, key: Hashable, now: float) -> TokenBucket:
        found = self._buckets.get((kind, key))
        if found is None:
            rate = self._rates[kind]
            found = self._buckets[kind, key] = TokenBucket(rate_per_s=rate.per_s, burst=rate.burst, now=now)
            if len(self._buckets) > _MAX_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end((kind, key))
        return found
