"""Wiring of `trunkline up`: the whole suite on one machine, in the foreground."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.health import HealthServer
from trunkline_chassis.http_address import http_url, is_loopback
from trunkline_chassis.log_files import LogFiles
from trunkline_chassis.logs import configure_logs
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.socket_folder import SocketFolderError, remove_socket_folder, socket_folder
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.permissions import SERVICES

from trunkline_supervisor.adapters.accounts import account_variables, secure_process
from trunkline_supervisor.adapters.child_process import LocalLauncher, open_log
from trunkline_supervisor.adapters.console_link import draw_console_link
from trunkline_supervisor.adapters.data_folder import usable_folder
from trunkline_supervisor.adapters.folder_lock import exclusive_lock
from trunkline_supervisor.adapters.nats_bus import NatsConnector
from trunkline_supervisor.adapters.nats_credentials import (
    NatsCredentials,
    credentials_folder,
    load_nats_credentials,
    operator_url_file,
)
from trunkline_supervisor.adapters.node_metrics import NodeMetrics
from trunkline_supervisor.adapters.postgres import SOCKET_NAME, PostgresPaths, prepare_as_root
from trunkline_supervisor.adapters.postgres_account import has_entry
from trunkline_supervisor.adapters.probes import HttpProbe
from trunkline_supervisor.adapters.provider_keys import key_variables
from trunkline_supervisor.adapters.secret_file import load_or_create_secret
from trunkline_supervisor.adapters.servers import EmbeddedNats, EmbeddedPostgres, ExternalServers
from trunkline_supervisor.adapters.stop_signal import on_hangup, stop_event
from trunkline_supervisor.adapters.tcp import claim_port
from trunkline_supervisor.application.health_monitor import HealthMonitor
from trunkline_supervisor.application.lifetime import Lifetime
from trunkline_supervisor.application.pool_factory import PoolFactory
from trunkline_supervisor.application.startup import SuitePlan, SuiteStartup, start_unless_stopped
from trunkline_supervisor.application.tree import Tree
from trunkline_supervisor.core.blueprint import Addresses, Blueprint, PoolSizes
from trunkline_supervisor.core.errors import SuiteError
from trunkline_supervisor.core.node import Node, node_of
from trunkline_supervisor.settings import (
    ERASURES_PATH,
    WRAPPING_KEY_PATH,
    SuiteSettings,
    authenticates_customers,
    inherited_environment,
    user_runtime_dir,
)

_HOST: Final = "127.0.0.1"
_NO_VARIABLES: Final[Mapping[str, str]] = {}


def secure(settings: SuiteSettings) -> str:
    """Close the data folder and change from root to another account; return a line for the operator, or nothing.

    It is called before the suite runs, while the process has one thread.
    """
    configured = (settings.fleet_dir, settings.llm_config, settings.key_file)
    needed = [path for path in configured if path is not None and path.exists()]

    def prepare_database(uid: int) -> None:
        if settings.postgres_dsn is None and not has_entry(uid):
            folder = settings.data_dir.absolute()
            prepare_as_root(PostgresPaths(folder / "postgres", folder / "run", folder / "secrets"))

    with usable_folder(settings.data_dir):
        return secure_process(settings.user, settings.data_dir, needed, before_change=prepare_database)


async def run_suite(
    settings: SuiteSettings, announce: Callable[[str, str], None], variables: Mapping[str, str] = _NO_VARIABLES
) -> None:
    """Run everything until SIGINT or SIGTERM.

    `variables` are set for the processes, beside those of the environment. `announce` gets the address and a link to
    the console that works once, when a message can be answered.
    """
    try:
        await _run(settings, announce, variables)
    except BaseExceptionGroup as group:
        reason = group.subgroup(SuiteError)
        if reason is None:
            raise
        raise _first(reason) from None


def _require_authentication_beyond_loopback(host: str) -> None:
    """Raise `SuiteError` if customers of other machines would need no token: every ingress would refuse to start."""
    if not is_loopback(host) and not authenticates_customers(inherited_environment()):
        raise SuiteError(f"TRUNKLINE_AUTH_SECRET or TRUNKLINE_AUTH_JWKS is required to serve {host}, beyond loopback")


async def _run(settings: SuiteSettings, announce: Callable[[str, str], None], variables: Mapping[str, str]) -> None:
    _require_authentication_beyond_loopback(settings.http_host)
    fleet = load_fleet(settings.fleet_dir)
    port = claim_port(settings.http_host, settings.http_port)
    stop = stop_event()
    with exclusive_lock(settings.data_dir), _open_log(settings.data_dir / "logs") as log:
        configure_logs(
            service="supervisor",
            instance="supervisor",
            region=settings.region,
            level="info",
            style="json",
            stream=log,
        )
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            startup = await _wire(settings, fleet, port, Lifetime(stack, tasks), tasks, variables)
            files = LogFiles((1, 2, log.fileno()))
            on_hangup(stop, files.reopen, startup.reopen_logs)
            if await start_unless_stopped(startup.run(), stop):
                code = draw_console_link(_operator_link(settings))
                url = http_url(settings.http_host, port) + settings.path_prefix
                announce(url, f"{url}/console#link={code}")
                await stop.wait()


def _open_log(folder: Path) -> io.TextIOWrapper:
    with usable_folder(folder):
        folder.mkdir(exist_ok=True)
        return io.TextIOWrapper(open_log(folder / "supervisor.log"), encoding="utf-8", line_buffering=True)


async def _wire(
    settings: SuiteSettings,
    fleet: Fleet,
    port: int,
    lifetime: Lifetime,
    tasks: asyncio.TaskGroup,
    variables: Mapping[str, str],
) -> SuiteStartup:
    http = HttpProbe()
    lifetime.on_end(http.close)
    presences = PresenceRegistry()
    monitor = HealthMonitor(presences, http)
    keys = {"llm_gateway": key_variables(settings.llm_config)}
    folder = settings.data_dir.absolute()
    inherited = {**inherited_environment(), **variables}
    launcher = LocalLauncher(inherited | account_variables(inherited, folder), folder / "logs", named=keys)
    sockets = _socket_folder(folder, lifetime)
    credentials = _nats_credentials(settings, folder)
    node = _node(settings, folder)
    plan = SuitePlan(
        fleet=fleet,
        nats=(
            ExternalServers(settings.nats_url or "")
            if credentials is None
            else _embedded_nats(settings, folder, credentials, lifetime)
        ),
        postgres=(
            ExternalServers(settings.postgres_dsn)
            if settings.postgres_dsn is not None
            else EmbeddedPostgres(PostgresPaths(folder / "postgres", sockets, folder / "secrets"))
        ),
        connector=NatsConnector(
            presences,
            tasks,
            region=settings.region,
            node=node,
            security=credentials.security("supervisor") if credentials is not None else settings.nats_security,
            limits=settings.stream_limits,
            tags=settings.stream_tags,
        ),
        blueprint=lambda nats_url, postgres_dsn, replicas: Blueprint(
            settings.region,
            settings.fleet_dir.absolute(),
            _addresses(settings, folder, sockets, port, nats_url, postgres_dsn, credentials),
            pool_sizes(settings),
            node,
            replicas,
            settings.agents_are_together,
        ),
        replicas=settings.replicas,
        grow_after_s=settings.grow_after_s,
        shrink_after_s=settings.shrink_after_s,
        ready_timeout_s=settings.ready_timeout_s,
    )
    tree = Tree(presences, monitor.answered, node)
    tree.metrics_url = await _serve_metrics(settings, NodeMetrics(http, tree.health_pages), lifetime)
    return SuiteStartup(tree, PoolFactory(launcher, monitor, lifetime), lifetime, plan)


async def _serve_metrics(settings: SuiteSettings, node: NodeMetrics, lifetime: Lifetime) -> str:
    """Serve the metrics page of this node and return its address."""
    server = HealthServer(settings.metrics_host, settings.metrics_port, lambda: True, metrics=node.serve)
    url = await server.start()
    lifetime.on_end(server.stop)
    return f"{url}/metrics"


def pool_sizes(settings: SuiteSettings) -> PoolSizes:
    """Return minimum and maximum per pool: a maximum that is not set is at least the minimum, without one it is 0."""

    def size(minimum: int, maximum: int | None) -> tuple[int, int]:
        return (minimum, max(minimum, maximum or minimum)) if minimum else (0, 0)

    # Only one process may open the folder of the embedded Milvus.
    embedded = settings.milvus_uri is None or "://" not in settings.milvus_uri
    return PoolSizes(
        ingress=size(settings.ingress_processes_min, settings.ingress_processes_max),
        conversation=size(settings.conversation_processes_min, settings.conversation_processes_max),
        agents=size(settings.agents_min, settings.agents_processes_max),
        rag=size(min(1, settings.rag_processes_min), 1)
        if embedded
        else size(settings.rag_processes_min, settings.rag_processes_max),
        llm_gateway=size(settings.llm_gateway_processes_min, settings.llm_gateway_processes_max),
        audit=size(settings.audit_processes, None),
    )


def _socket_folder(folder: Path, lifetime: Lifetime) -> Path:
    """Return the folder for Unix sockets; one outside the data folder is removed at the end."""
    preferred = folder / "run"
    try:
        sockets = socket_folder(preferred, longest_name=SOCKET_NAME, runtime_dir=user_runtime_dir())
    except SocketFolderError as error:
        raise SuiteError(str(error)) from error

    async def remove() -> None:
        remove_socket_folder(sockets, preferred)

    lifetime.on_end(remove)
    return sockets


def _nats_credentials(settings: SuiteSettings, folder: Path) -> NatsCredentials | None:
    """Return the users of the embedded servers, None if the servers are external."""
    if settings.nats_url is not None:
        return None
    return load_nats_credentials(credentials_folder(folder), region=settings.region)


def _embedded_nats(
    settings: SuiteSettings, folder: Path, credentials: NatsCredentials, lifetime: Lifetime
) -> EmbeddedNats:
    servers = EmbeddedNats(folder / "nats", settings.nodes, credentials, operator_url=operator_url_file(folder))
    lifetime.on_end(servers.close)
    return servers


def _addresses(
    settings: SuiteSettings,
    folder: Path,
    sockets: Path,
    port: int,
    nats_url: str,
    postgres_dsn: str,
    credentials: NatsCredentials | None,
) -> Addresses:
    return Addresses(
        nats_url=nats_url,
        postgres_dsn=postgres_dsn,
        milvus_uri=settings.milvus_uri or str(folder / "milvus"),
        backup_url=settings.backup_url or str(folder / "backups"),
        retention_url=settings.retention_url or str(folder / "archives"),
        retention_policy=_retention_policy(settings, folder),
        http_host=settings.http_host,
        http_port=port,
        path_prefix=settings.path_prefix,
        socket_dir=str(sockets),
        key_file=_key_file(settings, folder),
        encryption=settings.encryption,
        erasures_file=str((settings.erasures_file or folder / ERASURES_PATH).absolute()),
        resume_secret=_secret(settings.resume_secret, folder / "secrets" / "resume"),
        audit_secret=_secret(settings.audit_secret, folder / "secrets" / "audit"),
        operator_token=_secret(settings.operator_token, folder / "secrets" / "operator"),
        operator_link=str(_operator_link(settings)),
        nats_variables={service: credentials.environment(service) for service in SERVICES} if credentials else {},
    )


def _node(settings: SuiteSettings, folder: Path) -> Node:
    drawn = load_or_create_secret(folder / "secrets" / "node")
    return node_of(settings.node, socket.gethostname(), drawn, is_alone=settings.nats_url is None)


def _secret(configured: SecretStr | None, file: Path) -> str:
    """Return the configured secret, else the one of the data folder, which is drawn on the first start."""
    drawn = load_or_create_secret(file)
    return configured.get_secret_value() if configured is not None else drawn


def _key_file(settings: SuiteSettings, folder: Path) -> str:
    """Return the file with the wrapping key; the one of the data folder is drawn on the first start.

    Nodes that share a NATS must share a key: no node draws one of its own. Raises `SuiteError` if the file is empty:
    with another key, no text that is stored could be read.
    """
    if settings.key_file is not None:
        return str(settings.key_file.absolute())
    if settings.nats_url is not None:
        return ""
    file = folder / WRAPPING_KEY_PATH
    if file.exists() and not file.stat().st_size:
        raise SuiteError(f"{file} is empty; put its copy back, without it no stored text of a customer can be read")
    if settings.encryption:
        load_or_create_secret(file)
    return str(file) if file.exists() else ""


def _operator_link(settings: SuiteSettings) -> Path:
    return settings.data_dir.absolute() / "secrets" / "console-link"


def _first(group: BaseExceptionGroup[SuiteError]) -> SuiteError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _retention_policy(settings: SuiteSettings, folder: Path) -> str:
    """Return the file of the retention policy, empty without one."""
    if settings.retention_policy is not None:
        return str(settings.retention_policy.absolute())
    file = folder / "retention.toml"
    return str(file) if file.is_file() else ""
