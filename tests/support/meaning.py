"""A suite that searches by meaning, as it does by default where the weights of the encoder are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest
from trunkline_embedding.weights import installed_weights

from tests.support.suite import Suite


@contextmanager
def suite_by_meaning(folder: Path, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[Suite]:
    """Run a suite on embedded defaults and the given settings; skip the test without weights."""
    if installed_weights() is None:
        pytest.skip("no weights of MiniLM: run ./just weights")
    running = Suite(folder, {"TRUNKLINE_EMBEDDER": "auto", "TRUNKLINE_MESSAGES_PER_S": "30", **environment})
    try:
        yield running
    finally:
        assert running.stop() == 0
