"""The load of a workload: processes, cores and memory by service, storage and network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from trunkline_cli.capacity.core import fit, volumes
from trunkline_cli.capacity.core.fit import COSTS
from trunkline_cli.capacity.core.measurements import DEMO_AGENTS
from trunkline_cli.capacity.core.workload import Workload

PROCESS_CORES: Final = 0.7
"""Share of a core that a process of one thread may take: above it, waiting grows faster than work."""
MAX_SOCKETS: Final = 12_000
"""Open sockets per ingress process, the default of TRUNKLINE_EDGE_CONNECTIONS."""
MAX_COMPLETIONS: Final = 2_000
"""Completions in flight per gateway process."""
MAX_TURNS_IN_FLIGHT: Final = 128
"""Turns in progress per specialty of an agents process, the default of TRUNKLINE_CONCURRENCY."""
_SINGLE: Final = frozenset({"audit"})
"""Services with one working process, whatever the load: further ones are standbys."""
_ON_EVERY_NODE: Final = frozenset({"nats", "supervisor"})
_SPREAD: Final = 3
"""Nodes that have each service at least, so that the loss of one leaves two."""


@dataclass(frozen=True, slots=True)
class ServiceLoad:
    """Load of one service over all nodes."""

    processes: int
    cores: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Load:
    """Load of a whole suite."""

    services: dict[str, ServiceLoad]
    copies: int
    streams_gib: float
    """One copy, divided over all nodes."""
    archive_gib: float
    """One copy, whole on each node that has one."""
    network_mbit_per_s: float
    """Sent by all nodes together."""
    egress_gib_per_month: float
    """Sent to customers."""

    @property
    def disk_gib(self) -> float:
        """Storage with all copies."""
        return (self.streams_gib + self.archive_gib) * self.copies

    @property
    def cores(self) -> float:
        """Cores of all services."""
        return sum(service.cores for service in self.services.values())

    @property
    def memory_gib(self) -> float:
        """Memory of all services."""
        return sum(service.memory_mib for service in self.services.values()) / 1024


def load_of(workload: Workload, nodes: int) -> Load:
    """Return the load of a workload by the present code on a number of nodes."""
    level = fit.PRESENT_LEVEL if workload.by_meaning else fit.PRESENT_LEVEL_BY_WORDS
    processes = {service: _processes(service, workload, nodes, level) for service in fit.SERVICES}
    return Load(
        services(workload, processes, level),
        copies=workload.replicas,
        streams_gib=volumes.streams_gib(workload),
        archive_gib=volumes.archive_gib(workload),
        network_mbit_per_s=volumes.network_mbit_per_s(workload),
        egress_gib_per_month=volumes.egress_gib_per_month(workload),
    )


def services(workload: Workload, processes: dict[str, int], level: float) -> dict[str, ServiceLoad]:
    """Return the load of each service with given numbers of processes; `level` is that of the code."""
    cpu = fit.cpu_ms_per_s(processes, workload.turns_per_s)
    found = {}
    for service, count in processes.items():
        cost = COSTS[service]
        ms_per_s, mib = cpu[service] * level, cost.process_mib * count
        mib += cost.kib_per_conversation * workload.conversations / 1024
        match service:
            case "agents":
                mib += fit.AGENT_MIB * (workload.agents - DEMO_AGENTS) * count
            case "rag":
                ms_per_s += fit.PASSAGE_MS * workload.passages * workload.turns_per_s
                mib += (fit.PASSAGE_KIB * workload.passages / 1024 + fit.MEANING_MIB * workload.by_meaning) * count
            case "nats":
                # Each copy is assumed to cost what the first one does: clusters were not measured with this bench.
                ms_per_s *= workload.replicas
                mib += cost.kib_per_conversation * workload.conversations * (workload.replicas - 1) / 1024
            case _:
                pass
        found[service] = ServiceLoad(count, ms_per_s / 1000, mib)
    return found


def _processes(service: str, workload: Workload, nodes: int, level: float) -> int:
    """Return the number of processes: a few nodes have one at least, more by CPU, sockets or turns in flight."""
    if service in _ON_EVERY_NODE:
        return nodes
    if service == "postgres":
        return min(nodes, workload.replicas)
    if service in _SINGLE:
        return 1
    in_flight = workload.turns_per_s * workload.model_ms / 1000
    cost = COSTS[service]
    per_turn = cost.cpu_ms_per_turn * level + (fit.PASSAGE_MS * workload.passages if service == "rag" else 0.0)
    by_cpu = workload.turns_per_s * per_turn / (PROCESS_CORES * 1000 - cost.cpu_ms_per_s * level)
    by_state = {
        "ingress": workload.conversations / MAX_SOCKETS,
        "llm_gateway": in_flight / MAX_COMPLETIONS,
        "agents": in_flight / MAX_TURNS_IN_FLIGHT,
    }.get(service, 0.0)
    least = min(nodes, _SPREAD) * (2 if service == "agents" else 1)
    return max(least, math.ceil(by_cpu), math.ceil(by_state))
