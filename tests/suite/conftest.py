"""One suite for all tests of this folder; every test leaves it running and ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import postgres, postgres_server
from tests.support.suite import Suite

__all__ = ["postgres", "postgres_server", "suite"]


@pytest.fixture(scope="package")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A whole suite on embedded defaults."""
    # These tests send faster than the default rate limit of a socket.
    running = Suite(tmp_path_factory.mktemp("suite"), {"TRUNKLINE_MESSAGES_PER_S": "30"})
    try:
        yield running
    finally:
        assert running.stop() == 0
