"""Fixtures of the knowledge service's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trunkline_rag.adapters.milvus import MilvusStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MilvusStore]:
    """An empty store."""
    store = MilvusStore(str(tmp_path / "milvus"))
    yield store
    store.close()
