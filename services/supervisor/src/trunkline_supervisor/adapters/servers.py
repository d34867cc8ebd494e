"""The servers that a suite depends on: NATS and PostgreSQL, embedded or external."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from trunkline_supervisor.adapters.disk import wait_for_free_space
from trunkline_supervisor.adapters.nats_credentials import SYSTEM_USER, NatsCredentials, write_operator_url
from trunkline_supervisor.adapters.nats_server import nats_server_command, plan_nodes
from trunkline_supervisor.adapters.postgres import PostgresPaths, initialise, postgres_command
from trunkline_supervisor.adapters.postgres_roles import answers, wait_until_ready
from trunkline_supervisor.adapters.probes import NatsProbe
from trunkline_supervisor.core.blueprint import ProcessSpec
from trunkline_supervisor.ports import ServerPlan

_NATS_TIMEOUT_S: Final = 2.5
_POSTGRES_TIMEOUT_S: Final = 10.0
"""Longer, since PostgreSQL may be busy and no request waits for it."""
_FREE_SPACE_TIMEOUT_S: Final = 10.0
"""Starts on a full disk are rarer than the restart intensity allows, so that its pool is never given up for it."""


class ExternalServers:
    """Servers that run elsewhere, at a given address."""

    def __init__(self, address: str) -> None:
        """`address` is the one for clients."""
        self._address = address

    async def plan(self) -> Sequence[ServerPlan]:
        """Return no process to start."""
        return ()

    @property
    def address(self) -> str:
        """The given address."""
        return self._address

    async def wait_until_ready(self) -> None:
        """Return at once; clients retry until it answers."""


class EmbeddedNats:
    """One nats-server, or a cluster of three."""

    def __init__(self, folder: Path, count: int | None, credentials: NatsCredentials, *, operator_url: Path) -> None:
        """`count` defaults to the number of servers that created the folder; raises `NodesError` on a mismatch.

        The address for a read-only operator is written to the file `operator_url`.
        """
        self._operator_url = operator_url
        self._nodes = plan_nodes(folder, count)
        self._credentials = credentials
        self._probes = [NatsProbe(node, credentials.security(SYSTEM_USER)) for node in self._nodes]

    async def plan(self) -> Sequence[ServerPlan]:
        """Write the configurations and return one process per server."""
        write_operator_url(self._operator_url, self._credentials, self._nodes[0].url)
        return [
            ServerPlan(
                ProcessSpec("nats", node.name, nats_server_command(node, self._nodes, self._credentials)),
                probe=probe,
                timeout_s=_NATS_TIMEOUT_S,
            )
            for node, probe in zip(self._nodes, self._probes, strict=True)
        ]

    @property
    def address(self) -> str:
        """The addresses of all servers."""
        return ",".join(node.url for node in self._nodes)

    async def wait_until_ready(self) -> None:
        """Return at once; clients retry until one answers."""

    async def close(self) -> None:
        """Close the connections of the probes."""
        for probe in self._probes:
            await probe.close()


class EmbeddedPostgres:
    """One PostgreSQL server for the archive."""

    def __init__(self, paths: PostgresPaths) -> None:
        """Prepare nothing yet."""
        self._paths = paths

    async def plan(self) -> Sequence[ServerPlan]:
        """Create the data directory if it does not exist and return the process."""
        await asyncio.to_thread(initialise, self._paths)
        command = await asyncio.to_thread(postgres_command, self._paths)
        return [
            ServerPlan(
                ProcessSpec("postgres", "postgres-1", command, stop_signal="SIGINT"),
                probe=partial(answers, self._paths),
                timeout_s=_POSTGRES_TIMEOUT_S,
                prepare=self._prepare,
            )
        ]

    @property
    def address(self) -> str:
        """The address for the services, whose role owns the data."""
        return self._paths.dsn()

    async def wait_until_ready(self) -> None:
        """Wait until the server accepts commands, and prepare its role and its database."""
        await wait_until_ready(self._paths)

    def _prepare(self) -> None:
        wait_for_free_space(self._paths.data, _FREE_SPACE_TIMEOUT_S)
        postgres_command(self._paths)  # for its effect: removes leftovers of a killed server
