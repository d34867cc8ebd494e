"""The blueprint of a suite: its pools, and command and environment of every process."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from trunkline_protocols.fleet import ALL_SPECIALTIES

from trunkline_supervisor.core.node import LOCAL, Node


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process: its command, and the environment on top of the inherited variables of its service."""

    service: str
    instance: str
    """Unique on its NATS."""
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    stop_signal: str = "SIGTERM"
    stop_timeout_s: float = 15.0
    name: str = ""
    """Unique on its node, for status and log file; by default its instance."""

    def __post_init__(self) -> None:
        """Set the default name."""
        object.__setattr__(self, "name", self.name or self.instance)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses and secrets that the services of a suite share."""

    nats_url: str = field(repr=False)
    postgres_dsn: str = field(repr=False)
    milvus_uri: str
    backup_url: str
    http_port: int
    resume_secret: str = field(repr=False)
    audit_secret: str = field(repr=False)
    operator_token: str = field(default="", repr=False)
    """Token of the operators' API, for the ingress alone."""
    http_host: str = "127.0.0.1"
    path_prefix: str = ""
    """Path below which a proxy serves the ingress."""
    operator_link: str = ""
    """File with the code of the console link, for the ingress alone."""
    retention_url: str = ""
    """Location of archives."""
    retention_policy: str = ""
    """File of the retention policy, empty without one."""
    socket_dir: str = ""
    """Private folder for Unix sockets."""
    key_file: str = ""
    """File with the key that encrypts those of customers; empty: texts are stored in clear."""
    encryption: bool = True
    """Whether new texts are encrypted, if there is a key file."""
    erasures_file: str = ""
    """Second list of the erasures, for the ingress alone."""
    nats_variables: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    """Variables with the NATS credentials of each service."""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """Processes of one kind: their number, and the queue length that calls for another one."""

    service: str
    name: str
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    min_processes: int = 1
    max_processes: int = 1
    queue_threshold: int = 8
    """Queued items per process above which the pool is overloaded."""
    node: Node = LOCAL

    @property
    def instances(self) -> frozenset[str]:
        """All instance names that its processes may have."""
        return frozenset(self.node.instance(f"{self.name}-{number}") for number in range(1, self.max_processes + 1))

    def process(self, number: int) -> ProcessSpec:
        """Return the process of a number, counted from 1."""
        name = f"{self.name}-{number}"
        instance = self.node.instance(name)
        # Health and metrics have no access control: a public TRUNKLINE_HTTP_HOST is for the ingress alone.
        private = {"TRUNKLINE_HTTP_HOST": "127.0.0.1", "TRUNKLINE_HTTP_PORT": "0"}
        pages = {} if self.service == "ingress" else private
        identity = {"TRUNKLINE_INSTANCE": instance, "TRUNKLINE_NODE": self.node.name}
        command = [sys.executable, "-m", f"trunkline_{self.service}"]
        return ProcessSpec(self.service, instance, command, pages | identity | self.environment, name=name)


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """Minimum and maximum number of processes per pool."""

    ingress: tuple[int, int] = (1, 1)
    conversation: tuple[int, int] = (1, 1)
    agents: tuple[int, int] = (1, 1)
    rag: tuple[int, int] = (1, 1)
    llm_gateway: tuple[int, int] = (1, 1)
    audit: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The pools of a suite, in the order in which they are stopped: from the edge to the core."""

    region: str
    fleet_dir: Path
    addresses: Addresses
    sizes: PoolSizes
    node: Node = LOCAL
    replicas: int = 1
    """Copies of every replicated stream that a service re-creates."""
    agents_together: bool = False
    """One pool of agents processes that serve all specialties, instead of one per specialty."""

    def pools(self, specialties: list[str]) -> list[PoolSpec]:
        """Return all pools for a fleet with these specialties."""
        addresses, sizes = self.addresses, self.sizes
        edge = {
            "TRUNKLINE_HTTP_HOST": addresses.http_host,
            "TRUNKLINE_HTTP_PORT": str(addresses.http_port),
            # The variables of this name belong to the page of the whole node.
            "TRUNKLINE_METRICS_HOST": "127.0.0.1",
            "TRUNKLINE_METRICS_PORT": "0",
            "TRUNKLINE_PATH_PREFIX": addresses.path_prefix,
            "TRUNKLINE_SHARE_PORT": str(max(sizes.ingress) > 1),
            "TRUNKLINE_RESUME_SECRET": addresses.resume_secret,
            "TRUNKLINE_OPERATOR_TOKEN": addresses.operator_token,
            "TRUNKLINE_OPERATOR_LINK": addresses.operator_link,
        }
        texts = {"TRUNKLINE_KEY_FILE": addresses.key_file} if addresses.key_file else {}
        texts |= {"TRUNKLINE_ENCRYPTION": str(addresses.encryption)}
        edge |= texts | ({"TRUNKLINE_ERASURES_FILE": addresses.erasures_file} if addresses.erasures_file else {})
        knowledge = {
            "TRUNKLINE_MILVUS_URI": addresses.milvus_uri,
            "TRUNKLINE_BACKUP_URL": addresses.backup_url,
            "TRUNKLINE_SOCKET_DIR": addresses.socket_dir,
            "TRUNKLINE_KNOWLEDGE_DIR": str(self.fleet_dir / "knowledge"),
        }
        archive = {
            "TRUNKLINE_POSTGRES_DSN": addresses.postgres_dsn,
            "TRUNKLINE_AUDIT_SECRET": addresses.audit_secret,
            "TRUNKLINE_RETENTION_URL": addresses.retention_url,
        } | ({"TRUNKLINE_RETENTION_POLICY": addresses.retention_policy} if addresses.retention_policy else {})
        return [
            # Its queue depth is the number of open sockets; only new sockets reach a process that is added.
            self._pool("ingress", edge, sizes.ingress, queue_threshold=4_000),
            # Its queue depth is the number of in-flight turns, whose time is mostly the model's.
            self._pool("conversation", texts, sizes.conversation, queue_threshold=400),
            *self._agents(specialties, texts),
            self._pool("rag", knowledge, sizes.rag),
            self._pool("llm_gateway", {}, sizes.llm_gateway, queue_threshold=200),
            self._pool("audit", archive, sizes.audit),
        ]

    def _agents(self, specialties: list[str], texts: dict[str, str]) -> list[PoolSpec]:
        if self.agents_together:
            return [self._pool("agents", {"TRUNKLINE_SPECIALTY": ALL_SPECIALTIES} | texts, self.sizes.agents)]
        return [
            self._pool(
                "agents", {"TRUNKLINE_SPECIALTY": specialty} | texts, self.sizes.agents, name=f"agents-{specialty}"
            )
            for specialty in specialties
        ]

    def _pool(
        self,
        service: str,
        environment: dict[str, str],
        size: tuple[int, int] = (1, 1),
        *,
        queue_threshold: int = 8,
        name: str = "",
    ) -> PoolSpec:
        common = {
            "TRUNKLINE_NATS_URL": self.addresses.nats_url,
            "TRUNKLINE_REGION": self.region,
            "TRUNKLINE_REPLICAS": str(self.replicas),
            # Many processes share few cores: a linear algebra thread pool in each would only add contention.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        min_processes, max_processes = size
        variables = common | self.addresses.nats_variables.get(service, {}) | environment
        return PoolSpec(service, name or service, variables, min_processes, max_processes, queue_threshold, self.node)
