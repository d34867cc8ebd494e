"""The environment of each process: an allow-list per service, so that a process holds no secret of another one.

A name that ends in `*` stands for all names with that beginning. Every setting of a service belongs here; a test
compares the lists with the settings classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

_PREFIX: Final = "TRUNKLINE_"

SYSTEM: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_*", "XDG_*"),
    *("LD_LIBRARY_PATH", "MALLOC_*", "COVERAGE_*", "PYTHON*", "VIRTUAL_ENV", "OMP_*", "OPENBLAS_*"),
)
"""For every process, NATS and PostgreSQL included; none of these is a secret."""

_OUTGOING: Final = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)
"""For the processes that connect to other networks."""

_PROCESS: Final = (
    *("HTTP_HOST", "HTTP_PORT", "INSTANCE", "LOG_FORMAT", "LOG_LEVEL", "NODE", "REGION", "REPLICAS"),
    *("STREAM_LIMITS", "STREAM_TAGS", "SHUTDOWN_TIMEOUT_S", "NATS_*", "TRACES_*"),
)
_TEXTS: Final = ("KEY_FILE", "ENCRYPTION")
_EMBEDDER: Final = ("EMBEDDER", "EMBEDDER_*")

SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "nats": (),
    "postgres": (),
    "ingress": (
        *_PROCESS,
        *("AUTH_*", "RESUME_*", "OPERATOR_*", "EDGE_*", "METRICS_*", "SHARE_PORT", "MESSAGES_PER_S", "MESSAGE_BURST"),
        *("OUTGOING_FRAMES", "MCP_COMMANDS", "FLEET_DIR", "PATH_PREFIX", "ERASURES_FILE", "SITES"),
        *("ADMISSION", "ADMISSION_*"),
        *_TEXTS,
    ),
    "conversation": (
        *_PROCESS,
        *("AGENT_SILENCE_S", "MEMORY_BUDGET_MIB", "SNAPSHOT_EVERY", "TURN_TIMEOUT_S", "UNCLAIMED_S"),
        "READER_ADDRESSES",
        *_TEXTS,
    ),
    "agents": (
        *_PROCESS,
        *_TEXTS,
        *_EMBEDDER,
        *("COLOUR", "CONCURRENCY", "CONSULT_*", "SEARCH_TIMEOUT_S", "SECRET_*", "SPECIALTY", "SUMMARY_TIMEOUT_S"),
        *("TRAINING_TIMEOUT_S", "ROUTING_CACHE", "WORK_HEARTBEAT_INTERVAL_S", "MCP_COMMANDS", "READER_ADDRESSES"),
    ),
    "rag": (*_PROCESS, *_EMBEDDER, "BACKUP_*", "KNOWLEDGE_*", "MILVUS_*", "PARSER_*", "RAG_*", "SOCKET_DIR", "TENANT"),
    "llm_gateway": (*_PROCESS, "LLM_*"),
    "audit": (*_PROCESS, "AUDIT_*", "POSTGRES_*", "RETENTION_*"),
}
"""Settings of each service, without the prefix TRUNKLINE_."""

_OBJECT_STORES: Final = ("AWS_*", "AZURE_*", "GOOGLE_*")
"""Credentials of the object stores that backups and archives go to."""

_LIBRARIES: Final[dict[str, tuple[str, ...]]] = {
    "agents": _OUTGOING,
    "rag": (*_OUTGOING, *_OBJECT_STORES),
    "llm_gateway": _OUTGOING,
    # With the variables of libpq, such as PGSSLROOTCERT and PGPASSFILE.
    "audit": (*_OUTGOING, *_OBJECT_STORES, "PG*"),
}
"""Variables that are read by a library of a service."""


def own_environment(
    service: str, inherited: Mapping[str, str], *, named: Collection[str] = frozenset()
) -> dict[str, str]:
    """Return the inherited variables that a service may have; of an unknown service, those of the system alone.

    `named` are further names, such as those of API keys in the configuration of model providers. Names are compared
    in upper case, as settings are.
    """
    allowed = (*SYSTEM, *_LIBRARIES.get(service, ()), *(_PREFIX + name for name in SETTINGS.get(service, ())))
    return {name: value for name, value in inherited.items() if name in named or _matches(name.upper(), allowed)}


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns)
