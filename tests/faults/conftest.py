"""One suite on three NATS servers for all fault tests; every test leaves it running and ready."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.faults.soak import environment
from tests.support.suite import Suite, wait_until


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite whose turns take long enough for a fault to interrupt them."""
    folder = tmp_path_factory.mktemp("faults")
    running = Suite(folder / "data", environment(folder), nodes=3)
    try:
        yield running
    finally:
        assert running.stop() == 0


@pytest.fixture
def suite(cluster: Suite) -> Suite:
    """The suite, once it has recovered from the faults of the previous test."""
    wait_until(lambda: cluster.get("/v1/ops/status")["ready"], "everything is ready", timeout_s=60)
    return cluster


@pytest.fixture
def seed() -> int:
    """A new seed for every run, shown if the test fails."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    return seed
