"""Settings that every process has. Environment variables with the prefix TRUNKLINE_; the only place that reads them."""

from __future__ import annotations

import socket
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from trunkline_protocols.ids import Instance, token

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class ProcessSettings(BaseSettings):
    """What every process must know to take part; services add their own fields."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", frozen=True, extra="ignore")

    nats_url: str = Field("nats://127.0.0.1:4222", description="NATS servers, separated by commas")
    region: Identifier = Field("local", description="Region whose conversations this process serves")
    instance: str = Field("", description="Name of this process, stable over restarts; default: service and host name")
    node: str = Field(default_factory=socket.gethostname, description="Machine this process runs on")
    replicas: Literal[1, 3, 5] = Field(1, description="Copies of every replicated stream: 1 alone, 3 in a cluster")
    http_host: str = Field("127.0.0.1", description="Address of the process' own health and metrics pages")
    http_port: int = Field(0, ge=0, le=65535, description="Port of those pages; 0 takes a free one, told in PRESENCE")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line shown")
    log_format: Literal["json", "console"] = Field("json", description="One JSON object a line, or text for people")
    shutdown_timeout_s: float = Field(10.0, gt=0, description="Longest wait for work in flight when asked to stop")

    def instance_of(self, service: str) -> Instance:
        """Name of this process: the given one, or the service's name on this node."""
        return Instance(token(self.instance or f"{service}-{self.node}".replace(".", "-")[:64], "instance"))
