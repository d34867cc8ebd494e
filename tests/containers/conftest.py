"""NATS and PostgreSQL as compose.yaml runs them, in containers of a local Docker engine.

No image is pulled: if the engine or an image is missing, the tests are skipped with the reason.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import docker
import pytest
import yaml
from docker.errors import DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy

from tests.audit.harness import ArchiveReader

SERVICES: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "compose.yaml").read_text(encoding="utf-8"))[
    "services"
]
TIMEOUT_S = 60.0


def container(name: str, port: int, command: list[str] | None = None, **environment: str) -> DockerContainer:
    """Return the container of a service of compose.yaml, with a command of its own; skip the test if it cannot run."""
    service = SERVICES[name]
    try:
        docker.from_env().images.get(service["image"])
    except ImageNotFound:
        pytest.skip(f"the Docker engine has no image {service['image']}: pull it to test on it")
    except DockerException:
        pytest.skip("no Docker engine answers: start one to test on the servers of compose.yaml")
    # The reaper needs another image, and every container here is stopped by its fixture.
    testcontainers_config.ryuk_disabled = True
    configured = DockerContainer(service["image"]).with_exposed_ports(port).with_envs(**environment)
    if command is not None:
        configured = configured.with_command(command)
    check = service["healthcheck"]["test"]
    assert check[0] == "CMD"
    return configured.waiting_for(ExecWaitStrategy(check[1:]).with_startup_timeout(int(TIMEOUT_S)))


def address(started: DockerContainer, port: int) -> str:
    """Return the address of a container's port on this host."""
    return f"{started.get_container_host_ip()}:{started.get_exposed_port(port)}"


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """The NATS of compose.yaml, open to every client: the rights of its configuration are tested elsewhere."""
    with container("nats", 4222, ["--jetstream", "--store_dir", "/data"]) as started:
        yield f"nats://{address(started, 4222)}"


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """The PostgreSQL of compose.yaml, with a password."""
    password = secrets.token_hex(8)
    environment = SERVICES["postgres"]["environment"] | {"POSTGRES_PASSWORD": password}
    with container("postgres", 5432, **environment) as started:
        dsn = f"postgresql://{environment['POSTGRES_USER']}:{password}@{address(started, 5432)}/"
        asyncio.run(wait_until_ready(dsn + environment["POSTGRES_DB"]))
        yield dsn


async def wait_until_ready(dsn: str) -> None:
    """Wait for a connection: the image starts twice, and its health check also passes while it prepares its data."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                connection = await asyncpg.connect(dsn, timeout=5)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.1)
            else:
                await connection.close()
                return


@pytest.fixture
async def archive(postgres_dsn: str) -> ArchiveReader:
    """An empty archive without a schema, private to the test."""
    name = f"audit_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(f"{postgres_dsn}{SERVICES['postgres']['environment']['POSTGRES_DB']}")
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    return ArchiveReader(postgres_dsn + name)
