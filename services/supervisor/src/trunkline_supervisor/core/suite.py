"""Which processes a suite consists of, and with what settings each is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process: what to run, with which environment on top of the supervisor's own."""

    service: str
    instance: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    stop_timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of a suite find each other."""

    nats_url: str
    postgres_dsn: str
    milvus_uri: str
    backup_url: str
    http_port: int
    resume_secret: str


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """Processes of one kind: how many there are at least and at most, and what counts as a long queue for one."""

    service: str
    name: str
    environment: dict[str, str] = field(default_factory=dict)
    min_processes: int = 1
    max_processes: int = 1
    queue_threshold: int = 8
    """Waiting pieces of work a process from which on another process is wanted."""

    def process(self, number: int) -> ProcessSpec:
        """Describe the process of this number, from 1 on."""
        instance = f"{self.name}-{number}"
        ports = {} if self.service == "ingress" else {"TRUNKLINE_HTTP_PORT": "0"}
        environment = {**ports, "TRUNKLINE_INSTANCE": instance, **self.environment}
        return ProcessSpec(self.service, instance, [sys.executable, "-m", f"trunkline_{self.service}"], environment)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many processes the pools have, at least and at most."""

    ingress: int = 1
    conversation: tuple[int, int] = (1, 1)
    agents: tuple[int, int] = (1, 1)
    rag: tuple[int, int] = (1, 1)
    llm_gateway: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The pools of a suite, in the order in which they are stopped: from the edge to the core."""

    region: str
    fleet_dir: Path
    addresses: Addresses
    sizes: Sizes

    def pools(self, specialties: list[str]) -> list[PoolSpec]:
        """All pools for a fleet of these specialties."""
        addresses, sizes = self.addresses, self.sizes
        edge = {
            "TRUNKLINE_HTTP_PORT": str(addresses.http_port),
            "TRUNKLINE_SHARE_PORT": str(sizes.ingress > 1),
            "TRUNKLINE_RESUME_SECRET": addresses.resume_secret,
        }
        knowledge = {
            "TRUNKLINE_MILVUS_URI": addresses.milvus_uri,
            "TRUNKLINE_BACKUP_URL": addresses.backup_url,
            "TRUNKLINE_KNOWLEDGE_DIR": str(self.fleet_dir / "knowledge"),
        }
        archive = {"TRUNKLINE_POSTGRES_DSN": addresses.postgres_dsn}
        return [
            # Its queue counts sockets: it does not grow with them, because a socket stays where it is.
            self._pool("ingress", edge, (sizes.ingress, sizes.ingress)),
            # Its queue counts the turns under way, whose time is mostly the model's.
            self._pool("conversation", {}, sizes.conversation, queue_threshold=400),
            *(self.agents(specialty) for specialty in specialties),
            self._pool("rag", knowledge, sizes.rag),
            self._pool("llm_gateway", {}, sizes.llm_gateway, queue_threshold=200),
            self._pool("audit", archive),
        ]

    def agents(self, specialty: str) -> PoolSpec:
        """The pool of one specialty."""
        name = f"agents-{specialty}"
        return self._pool("agents", {"TRUNKLINE_SPECIALTY": specialty}, self.sizes.agents, name=name)

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
            # Many processes on few cores: threads of a linear algebra library in each would only fight.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        min_processes, max_processes = size
        return PoolSpec(
            service,
            name or service,
            common | environment,
            min_processes,
            max(min_processes, max_processes),
            queue_threshold,
        )
