"""Settings of the ingress."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from trunkline_chassis.settings import MCP_COMMANDS, McpCommands, ProcessSettings


class IngressSettings(ProcessSettings):
    """Address, authentication and limits of the ingress."""

    http_port: int = Field(8080, ge=0, le=65535, description="Port of the pages, the WebSocket and the operators' API")
    share_port: bool = Field(
        default=False,
        description="Share the port among the ingress processes of a node; the kernel distributes connections",
    )
    resume_secret: SecretStr = Field(
        min_length=16, description="Secret that signs resume tokens; the same for all ingresses and across restarts"
    )
    auth_secret: SecretStr | None = Field(
        None, description="Secret (HS256) that signs customers' access tokens; if unset, authentication is off"
    )
    operator_token: SecretStr | None = Field(
        None, min_length=32, description="Shared token of the operators' API, with role admin; `trunkline up` draws one"
    )
    operator_keys: Path | None = Field(
        None, description="TOML file with named operator keys (name, role, sha256), reloaded when it changes"
    )
    operator_link: Path | None = Field(
        None, description="File with the code of the console link that works once; `trunkline up` draws it"
    )
    messages_per_s: float = Field(5.0, gt=0, description="Sustained rate limit per socket")
    message_burst: int = Field(20, ge=1, description="Burst of messages per socket")
    mcp_commands: McpCommands = Field([], description=MCP_COMMANDS)
    outgoing_frames: int = Field(
        512, ge=16, description="Frames queued per socket before a slow reader is disconnected"
    )

    @property
    def is_single_machine(self) -> bool:
        """True if only this machine can connect."""
        return _is_loopback(self.http_host)

    @model_validator(mode="after")
    def _require_auth_beyond_loopback(self) -> Self:
        if self.auth_secret is None and not _is_loopback(self.http_host):
            raise ValueError(f"TRUNKLINE_AUTH_SECRET is required to serve {self.http_host}, which is not loopback")
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
