"""The servers that a backup is taken from, and those that it is restored into: embedded ones, or others by address."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.errors import BusError
from trunkline_chassis.socket_folder import SocketFolderError, remove_socket_folder, socket_folder
from trunkline_supervisor.adapters.nats_credentials import credentials_folder, load_nats_credentials
from trunkline_supervisor.adapters.nats_server import nats_server_command, plan_nodes
from trunkline_supervisor.adapters.postgres import SOCKET_NAME, PostgresPaths, initialise, postgres_command
from trunkline_supervisor.adapters.postgres_roles import wait_until_ready
from trunkline_supervisor.settings import SuiteSettings, user_runtime_dir

from trunkline_cli.audit.archive import archive_address
from trunkline_cli.embedded_nats import embedded_nats
from trunkline_cli.errors import CommandError

_CONNECT_TIMEOUT_S: Final = 10.0
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 60.0
_PRINCIPAL: Final = "supervisor"
_NAME: Final = "backup"


@dataclass(frozen=True, slots=True)
class ArchiveAddress:
    """The database of the archive."""

    dsn: str
    is_embedded: bool


@dataclass(frozen=True, slots=True)
class Broker:
    """A connection with the rights of the supervisor, and the copies that a restored stream gets; None: as before."""

    bus: Bus
    copies: int | None


def running_archive(settings: SuiteSettings) -> ArchiveAddress:
    """Return the archive of TRUNKLINE_POSTGRES_DSN, else the one of the data folder, which must be running."""
    return ArchiveAddress(archive_address(settings.postgres_dsn, settings.data_dir), settings.postgres_dsn is None)


@asynccontextmanager
async def running_broker(settings: SuiteSettings) -> AsyncIterator[Broker]:
    """Connect to the servers of TRUNKLINE_NATS_URL, else to the embedded ones, which must be running."""
    if settings.nats_url is not None:
        url, security = settings.nats_url, settings.nats_security
    else:
        url, security = embedded_nats(settings.data_dir, _PRINCIPAL)
    try:
        bus = await connect(url, _NAME, principal=_PRINCIPAL, security=security, timeout_s=_CONNECT_TIMEOUT_S)
    except BusError as error:
        raise CommandError(f"NATS: {error}") from error
    try:
        yield Broker(bus, settings.replicas)
    finally:
        await bus.close()


@asynccontextmanager
async def new_broker(settings: SuiteSettings) -> AsyncIterator[Broker]:
    """Start the embedded servers of a new data folder until the end of the block, or connect to others by address."""
    if settings.nats_url is not None:
        async with running_broker(settings) as broker:
            yield broker
        return
    folder = settings.data_dir.absolute()
    credentials = load_nats_credentials(credentials_folder(folder), region=settings.region)
    nodes = plan_nodes(folder / "nats", settings.nodes)
    async with AsyncExitStack() as stack:
        for node in nodes:
            command = nats_server_command(node, nodes, credentials)
            await stack.enter_async_context(_running(command, folder / "logs" / f"{node.name}.log", signal.SIGTERM))
        url = ",".join(node.url for node in nodes)
        try:
            security = credentials.security(_PRINCIPAL)
            bus = await connect(url, _NAME, principal=_PRINCIPAL, security=security, timeout_s=_START_TIMEOUT_S)
        except BusError as error:
            raise CommandError(f"NATS: {error}") from error
        stack.push_async_callback(bus.close)
        yield Broker(bus, settings.replicas or len(nodes))


@asynccontextmanager
async def new_archive(settings: SuiteSettings) -> AsyncIterator[ArchiveAddress]:
    """Start the embedded PostgreSQL of a new data folder until the end of the block, or return another address."""
    if settings.postgres_dsn is not None:
        yield ArchiveAddress(settings.postgres_dsn, is_embedded=False)
        return
    folder = settings.data_dir.absolute()
    preferred = folder / "run"
    try:
        sockets = socket_folder(preferred, longest_name=SOCKET_NAME, runtime_dir=user_runtime_dir())
    except SocketFolderError as error:
        raise CommandError(str(error)) from error
    paths = PostgresPaths(folder / "postgres", sockets, folder / "secrets")
    try:
        await asyncio.to_thread(initialise, paths)
        command = await asyncio.to_thread(postgres_command, paths)
        async with _running(command, folder / "logs" / "postgres-1.log", signal.SIGINT):
            await wait_until_ready(paths, timeout_s=_START_TIMEOUT_S)
            yield ArchiveAddress(paths.dsn(), is_embedded=True)
    finally:
        remove_socket_folder(sockets, preferred)


@asynccontextmanager
async def _running(command: Sequence[str], log: Path, stop: signal.Signals) -> AsyncIterator[None]:
    """Run a server until the end of the block."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(stop)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
