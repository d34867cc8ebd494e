"""Token bucket."""

from __future__ import annotations

from trunkline_ingress.core.token_bucket import TokenBucket


def test_bucket_admits_a_burst_and_then_the_rate() -> None:
    """A burst of two, then one per second."""
    bucket = TokenBucket(rate_per_s=1.0, burst=2, now=0.0)
    assert [bucket.take(0.0), bucket.take(0.0), bucket.take(0.0)] == [True, True, False]
    assert [bucket.take(1.0), bucket.take(1.1)] == [True, False]
    assert abs(bucket.wait_s(1.1) - 0.9) < 1e-9
    assert bucket.wait_s(2.0) == 0.0
