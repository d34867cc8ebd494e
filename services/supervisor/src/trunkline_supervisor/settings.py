"""Settings of a suite on one machine, and the environment that its processes inherit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from trunkline_chassis.settings import Identifier


class SuiteSettings(BaseSettings):
    """What `trunkline up` starts, and where its state lives. Addresses replace embedded parts by real ones."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("var"), description="Folder for everything the suite keeps")
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the ingress; 0 takes a free one")
    fleet_dir: Path = Field(Path("fleet"), description="Fleet to run")
    region: Identifier = Field("local", description="Region of this suite")
    nats_url: str | None = Field(None, description="NATS to use instead of the embedded one")
    postgres_dsn: str | None = Field(None, description="PostgreSQL to use instead of the embedded one")
    milvus_uri: str | None = Field(None, description="Milvus to use instead of the embedded one")
    backup_url: str | None = Field(
        None, description="Where backups of the knowledge base go; default: a folder in the data directory"
    )
    nodes: Literal[1, 3] | None = Field(
        None,
        description="Embedded NATS servers: 1, or 3 as a cluster; default: as many as the data directory has, or 1",
    )
    replicas: Literal[1, 3, 5] | None = Field(
        None, description="Copies of every replicated stream; default: one for each embedded NATS server"
    )
    ingress_processes_min: int = Field(2, ge=1, le=8, description="Processes that hold sockets, on one port")
    conversation_processes_min: int = Field(
        1, ge=1, le=8, description="Processes that share the conversations, at least"
    )
    conversation_processes_max: int = Field(4, ge=1, le=8, description="The same, at most")
    agents_processes_min: int = Field(1, ge=1, le=16, description="Processes for each specialty, at least")
    agents_processes_max: int = Field(3, ge=1, le=16, description="The same, at most")
    llm_gateway_processes_min: int = Field(2, ge=1, le=8, description="Processes that write answers, at least")
    llm_gateway_processes_max: int = Field(2, ge=1, le=8, description="The same, at most")
    rag_processes_min: int = Field(
        1, ge=1, le=8, description="Processes that search, at least; embedded Milvus allows one"
    )
    rag_processes_max: int = Field(2, ge=1, le=8, description="The same, at most; embedded Milvus allows one")
    grow_after_s: float = Field(2.0, gt=0, description="A pool whose work waits for so long gets one process more")
    shrink_after_s: float = Field(60.0, gt=0, description="A pool that is calm for so long has one process less")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of the supervisor's /metrics; 0 takes a free one")
    ready_timeout_s: float = Field(90.0, gt=0, description="Longest wait until every process is ready")


def inherited_environment() -> dict[str, str]:
    """Return the environment that every process of the suite starts from."""
    return dict(os.environ)
