"""Settings of a suite on one machine, and the environment that it was started in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, model_validator
from trunkline_chassis.settings import (
    PATH_PREFIX,
    STREAM_TAGS,
    Identifier,
    NatsSettings,
    PathPrefix,
    SettingsError,
    Tag,
)
from trunkline_chassis.stream_limits import STREAM_LIMITS, LimitsByName
from trunkline_chassis.texts import ENCRYPTION

_MAX_CORES_TOGETHER: Final = 4
_POOLS: Final = ("ingress", "conversation", "agents", "llm_gateway", "rag")


WRAPPING_KEY_PATH: Final = Path("secrets", "customer-keys")
"""Path of the wrapping key of customers' texts in a data folder, unless `TRUNKLINE_KEY_FILE` names another."""

ERASURES_PATH: Final = Path("erasures.jsonl")
"""Path of the list of erasures in a data folder, unless `TRUNKLINE_ERASURES_FILE` names another."""


class SuiteSettings(NatsSettings):
    """Settings of `trunkline up`: the parts that it starts and where their state is kept.

    An address replaces an embedded part by an external server. If the maximum of a pool is not set, it is at least the
    minimum; a maximum that is set below the minimum is refused. A minimum of 0 starts no such process on this node:
    other nodes on the same NATS have them.
    """

    data_dir: Path = Field(Path("var"), description="Folder for everything the suite keeps")
    http_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address of the ingress: an IPv4 or IPv6 address or a name; beyond loopback, customers need access "
        "tokens",
    )
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the ingress; 0 takes a free one")
    path_prefix: PathPrefix = Field("", description=PATH_PREFIX)
    fleet_dir: Path = Field(Path("fleet"), description="Fleet to run")
    region: Identifier = Field("local", description="Region of this suite")
    node: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{1,24}\z",
        description="Name of this node, which instance names carry if `TRUNKLINE_NATS_URL` is set; default: the host "
        "name, then with four characters that are drawn once for the data folder",
    )
    nats_url: str | None = Field(None, description="NATS to use instead of the embedded one", repr=False)
    postgres_dsn: str | None = Field(None, description="PostgreSQL to use instead of the embedded one", repr=False)
    milvus_uri: str | None = Field(None, description="Milvus to use instead of the embedded one")
    llm_config: Path | None = Field(
        None, description="Configuration of the LLM gateway; the variables that it names are passed to it"
    )
    operator_token: SecretStr | None = Field(
        None,
        min_length=32,
        description="Token of the operators' API; default: one that is drawn once and kept in the data folder",
    )
    resume_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret that signs resume tokens, the same on all nodes; default: one that is drawn once and kept "
        "in the data folder, so that customers cannot resume on another node",
    )
    audit_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret of the key that signs the heads of the tree of records, the same on all nodes; default: "
        "one that is drawn once and kept in the data folder",
    )
    key_file: Path | None = Field(
        None,
        description="File with the key that encrypts the keys of customers' texts, the same on all nodes; default: one "
        "that is drawn once and kept in the data folder, and none with a NATS of other nodes",
    )
    encryption: bool = Field(default=True, description=ENCRYPTION)
    erasures_file: Path | None = Field(
        None, description="File that lists the erasures of customers; default: `erasures.jsonl` in the data folder"
    )
    user: str | None = Field(
        None, description="Account, by name or uid, that the suite runs as if it is started as root; default: uid 10001"
    )
    backup_url: str | None = Field(
        None, description="Destination of knowledge base backups; default: a folder in the data directory"
    )
    retention_policy: Path | None = Field(
        None,
        description="File with the rules of retention (TOML); default: `retention.toml` of the data directory, without "
        "it everything is kept",
    )
    retention_url: str | None = Field(
        None, description="Destination of archives; default: a folder in the data directory"
    )
    nodes: Literal[1, 3] | None = Field(
        None,
        description="Embedded NATS servers: 1, or 3 as a cluster; default: as many as the data directory has, or 1",
    )
    replicas: Literal[1, 3, 5] | None = Field(
        None, description="Copies of every replicated stream; default: one per embedded NATS server"
    )
    stream_limits: LimitsByName = Field({}, description=STREAM_LIMITS)
    stream_tags: list[Tag] = Field([], description=STREAM_TAGS)
    ingress_processes_min: int = Field(2, ge=1, le=8, description="Minimum of ingress processes, which share one port")
    ingress_processes_max: int | None = Field(
        None, ge=1, le=8, description="Maximum of ingress processes; default: the minimum"
    )
    conversation_processes_min: int = Field(1, ge=0, le=8, description="Minimum of conversation processes")
    conversation_processes_max: int = Field(4, ge=1, le=8, description="Maximum of conversation processes")
    agent_groups: Literal["auto", "together", "separate"] = Field(
        "auto",
        description="Whether every agents process serves all specialties (`together`) or one (`separate`); `auto`: "
        "together on up to four cores, where a process per specialty would cost more than it isolates",
    )
    agents_processes_min: int | None = Field(
        None, ge=0, le=16, description="Minimum of agents processes per pool; default: 2 together, 1 per specialty"
    )
    agents_processes_max: int = Field(3, ge=1, le=16, description="Maximum of agents processes per pool")
    llm_gateway_processes_min: int = Field(2, ge=0, le=8, description="Minimum of LLM gateway processes")
    llm_gateway_processes_max: int = Field(2, ge=1, le=8, description="Maximum of LLM gateway processes")
    rag_processes_min: int = Field(
        1, ge=0, le=8, description="Minimum of knowledge processes; embedded Milvus allows one"
    )
    rag_processes_max: int = Field(
        2, ge=1, le=8, description="Maximum of knowledge processes; embedded Milvus allows one"
    )
    audit_processes: int = Field(1, ge=0, le=4, description="Number of audit processes")
    grow_after_s: float = Field(2.0, gt=0, description="Seconds under load before a pool gets one process more")
    shrink_after_s: float = Field(60.0, gt=0, description="Seconds of low load before a pool has one process less")
    metrics_host: str = Field("127.0.0.1", description="Address of the metrics page of this node, which needs no key")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of that page, with the metrics of all processes of this node; 0 takes a free one",
    )
    ready_timeout_s: float = Field(300.0, gt=0, description="Timeout until every process is ready, in seconds")

    @property
    def agents_are_together(self) -> bool:
        """Whether every agents process serves all specialties."""
        if self.agent_groups == "auto":
            return len(os.sched_getaffinity(0)) <= _MAX_CORES_TOGETHER
        return self.agent_groups == "together"

    @property
    def agents_min(self) -> int:
        """The minimum of agents processes per pool."""
        if self.agents_processes_min is not None:
            return self.agents_processes_min
        # Together two, so that the death of one delays no specialty.
        return min(2, self.agents_processes_max) if self.agents_are_together else 1

    @model_validator(mode="after")
    def _refuse_nodes_of_external_servers(self) -> SuiteSettings:
        if self.nats_url is not None and self.nodes is not None:
            raise SettingsError("--nodes starts NATS servers and TRUNKLINE_NATS_URL names others; set only one of them")
        return self

    @model_validator(mode="after")
    def _refuse_maximum_below_minimum(self) -> SuiteSettings:
        for pool in _POOLS:
            minimum = self.agents_min if pool == "agents" else getattr(self, f"{pool}_processes_min")
            maximum = getattr(self, f"{pool}_processes_max")
            if f"{pool}_processes_max" in self.model_fields_set and maximum is not None and maximum < minimum:
                name = f"TRUNKLINE_{pool.upper()}_PROCESSES"
                raise SettingsError(f"{name}_MAX ({maximum}) is below {name}_MIN ({minimum})")
        return self


def inherited_environment() -> dict[str, str]:
    """Return the environment of `trunkline up`; each process gets a part of it, see `core.environments`."""
    return dict(os.environ)


def authenticates_customers(environment: Mapping[str, str]) -> bool:
    """Return whether the ingress will have a secret or keys of customers' access tokens."""
    given = {name.upper() for name, value in environment.items() if value}
    return not given.isdisjoint({"TRUNKLINE_AUTH_SECRET", "TRUNKLINE_AUTH_JWKS"})


def user_runtime_dir() -> Path | None:
    """Return the runtime directory of the account, if its login has one."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder) if folder.startswith("/") else None
