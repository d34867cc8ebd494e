"""One suite for all tests of this folder: they leave it running and in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import postgres, postgres_server
from tests.support.suite import Suite

__all__ = ["postgres", "postgres_server", "suite"]


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A whole suite on embedded defaults."""
    # Customers of these tests type faster than people.
    running = Suite(tmp_path_factory.mktemp("suite"), {"TRUNKLINE_MESSAGES_PER_S": "30"})
    try:
        yield running
    finally:
        assert running.stop() == 0
