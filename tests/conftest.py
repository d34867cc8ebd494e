"""Shared fixtures: real servers, each with a private data directory."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.provision import provision

from tests.support.nats import nats_server

# The encoder takes seconds of every start of a suite: only the tests of meaning use it (`tests/support/meaning.py`).
os.environ.setdefault("TRUNKLINE_EMBEDDER", "lexical")
# Of all suites with the same fleet, one trains its routing. The workers of a parallel run inherit the folder.
if "TRUNKLINE_ROUTING_CACHE" not in os.environ:
    _routing_cache = tempfile.mkdtemp(prefix="trunkline-routing-")
    os.environ["TRUNKLINE_ROUTING_CACHE"] = _routing_cache
    atexit.register(shutil.rmtree, _routing_cache, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _no_cached_loggers() -> Iterator[None]:
    """Loggers follow the configuration of the running test: one that is cached would escape `capture_logs` for good."""
    configure = structlog.configure

    def configure_without_cache(**settings: Any) -> None:
        configure(**settings | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_without_cache)
        yield


@pytest.fixture(autouse=True)
def _own_log_configuration() -> Iterator[None]:
    """A test that runs a command in this process leaves neither its format nor its level to the next one."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real nats-server with JetStream, one per test session."""
    folder: Path = tmp_path_factory.mktemp("nats")
    with nats_server(folder) as url:
        yield url


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connection to a provisioned server: it has every stream, consumer and bucket."""
    connection = await connect(nats_url, "test")
    await provision(connection, region="local", specialties=["triage", "billing", "technical"], replicas=1)
    yield connection
    await connection.close()
