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
    http_port: int
    resume_secret: str


def service_specs(
    *,
    region: str,
    fleet_dir: Path,
    specialties: list[str],
    addresses: Addresses,
    conversation_processes: int,
    agent_processes: int,
) -> list[ProcessSpec]:
    """All service processes, in the order in which they are stopped: from the edge to the core."""
    specs = [
        _spec(
            "ingress",
            1,
            {
                "TRUNKLINE_HTTP_PORT": str(addresses.http_port),
                "TRUNKLINE_RESUME_SECRET": addresses.resume_secret,
            },
        ),
        *(_spec("conversation", number, {}) for number in range(1, conversation_processes + 1)),
        *(
            _spec("agents", number, {"TRUNKLINE_SPECIALTY": specialty}, name=f"agents-{specialty}")
            for specialty in specialties
            for number in range(1, agent_processes + 1)
        ),
        _spec(
            "rag",
            1,
            {
                "TRUNKLINE_MILVUS_URI": addresses.milvus_uri,
                "TRUNKLINE_KNOWLEDGE_DIR": str(fleet_dir / "knowledge"),
            },
        ),
        _spec("llm_gateway", 1, {}),
        _spec("audit", 1, {"TRUNKLINE_POSTGRES_DSN": addresses.postgres_dsn}),
    ]
    common = {
        "TRUNKLINE_NATS_URL": addresses.nats_url,
        "TRUNKLINE_REGION": region,
        # Many processes on few cores: threads of a linear algebra library in each would only fight.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return [ProcessSpec(spec.service, spec.instance, spec.command, {**common, **spec.environment}) for spec in specs]


def _spec(service: str, number: int, environment: dict[str, str], *, name: str = "") -> ProcessSpec:
    instance = f"{name or service}-{number}"
    ports = {} if service == "ingress" else {"TRUNKLINE_HTTP_PORT": "0"}
    return ProcessSpec(
        service,
        instance,
        [sys.executable, "-m", f"trunkline_{service}"],
        {**ports, "TRUNKLINE_INSTANCE": instance, **environment},
    )
