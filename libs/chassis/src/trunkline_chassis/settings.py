"""Settings of a process, read from environment variables with the prefix TRUNKLINE_.

Only the `settings.py` modules read the environment. Every settings class derives from `EnvironmentSettings`, which
refuses a variable that has been renamed: ignoring it would start a process with defaults that its operator has changed.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from trunkline_protocols.ids import Instance, token

from trunkline_chassis.nats_security import NatsSecurity

RENAMED: Final[dict[str, str]] = {
    "TRUNKLINE_INGRESS_PROCESSES": "TRUNKLINE_INGRESS_PROCESSES_MIN",
    "TRUNKLINE_CONVERSATION_PROCESSES": "TRUNKLINE_CONVERSATION_PROCESSES_MIN",
    "TRUNKLINE_CONVERSATION_PROCESSES_MOST": "TRUNKLINE_CONVERSATION_PROCESSES_MAX",
    "TRUNKLINE_AGENT_PROCESSES": "TRUNKLINE_AGENTS_PROCESSES_MIN",
    "TRUNKLINE_AGENT_PROCESSES_MOST": "TRUNKLINE_AGENTS_PROCESSES_MAX",
    "TRUNKLINE_LLM_GATEWAY_PROCESSES": "TRUNKLINE_LLM_GATEWAY_PROCESSES_MIN",
    "TRUNKLINE_LLM_GATEWAY_PROCESSES_MOST": "TRUNKLINE_LLM_GATEWAY_PROCESSES_MAX",
    "TRUNKLINE_RAG_PROCESSES": "TRUNKLINE_RAG_PROCESSES_MIN",
    "TRUNKLINE_RAG_PROCESSES_MOST": "TRUNKLINE_RAG_PROCESSES_MAX",
    "TRUNKLINE_SNAPSHOT_URL": "TRUNKLINE_BACKUP_URL",
    "TRUNKLINE_SNAPSHOT_EVERY_H": "TRUNKLINE_BACKUP_EVERY_H",
    "TRUNKLINE_SNAPSHOT_KEEP": "TRUNKLINE_BACKUP_KEEP",
    "TRUNKLINE_BEAT_S": "TRUNKLINE_WORK_HEARTBEAT_INTERVAL_S",
    "TRUNKLINE_CONSULT_SILENCE_S": "TRUNKLINE_CONSULT_IDLE_TIMEOUT_S",
    "TRUNKLINE_CONSULT_LONGEST_S": "TRUNKLINE_CONSULT_TIMEOUT_S",
    "TRUNKLINE_SUMMARY_LONGEST_S": "TRUNKLINE_SUMMARY_TIMEOUT_S",
}
"""Former names of environment variables and their present names."""

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

McpCommands = list[list[str]]
"""Commands that the operator permits; no version of the fleet can add one."""
MCP_COMMANDS: Final = (
    'Commands that tools of kind `mcp` may start, as JSON: `[["stock-mcp", "--read-only"]]`; executable and arguments '
    "must be equal to those of the tool, and by default none is allowed"
)


class SettingsError(Exception):
    """The environment does not make valid settings; the message is one line for the operator."""


class EnvironmentSettings(BaseSettings):
    """Base of all settings: the prefix, immutability, and the refusal of renamed variables."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_renamed_variables(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic passes what it was given
        refuse_renamed_variables(os.environ)
        return values


class NatsSettings(EnvironmentSettings):
    """Credentials and TLS of the connection to NATS."""

    nats_user: str = Field("", description="User of NATS; may also stand in the URL, percent-encoded")
    nats_password: SecretStr = Field(SecretStr(""), description="Password of that user")
    nats_nkey: Path | None = Field(None, description="File with an NKEY seed, instead of user and password")
    nats_creds: Path | None = Field(None, description="Credentials file (JWT and seed), instead of user and password")
    nats_ca: Path | None = Field(None, description="CA certificate that signed the servers' certificates (PEM)")
    nats_cert: Path | None = Field(None, description="Client certificate for mutual TLS (PEM)")
    nats_key: Path | None = Field(None, description="Key of the client certificate (PEM)")

    @property
    def nats_security(self) -> NatsSecurity:
        """Return the credentials and certificates."""
        return NatsSecurity(
            user=self.nats_user,
            password=self.nats_password.get_secret_value(),
            nkey=self.nats_nkey,
            creds=self.nats_creds,
            ca=self.nats_ca,
            cert=self.nats_cert,
            key=self.nats_key,
        )


class ProcessSettings(NatsSettings):
    """Settings of every process; services add their own fields."""

    nats_url: str = Field("nats://127.0.0.1:4222", description="NATS servers, separated by commas", repr=False)
    region: Identifier = Field("local", description="Region whose conversations this process serves")
    instance: str = Field(
        "", description="Name of this process, stable across restarts; default: service and host name"
    )
    node: str = Field(default_factory=socket.gethostname, description="Machine this process runs on")
    replicas: Literal[1, 3, 5] = Field(1, description="Copies of every replicated stream: 1 alone, 3 in a cluster")
    http_host: str = Field("127.0.0.1", description="Address of the health and metrics endpoints")
    http_port: int = Field(
        0, ge=0, le=65535, description="Port of those endpoints; 0 selects a free one, published in PRESENCE"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level of log lines")
    log_format: Literal["json", "console"] = Field("json", description="One JSON object per line, or readable text")
    shutdown_timeout_s: float = Field(10.0, gt=0, description="Maximum wait for in-flight work at shutdown, in seconds")

    def instance_name(self, service: str) -> Instance:
        """Return the configured instance name, by default the service and node names."""
        return Instance(token(self.instance or f"{service}-{self.node}".replace(".", "-")[:64], "instance"))


S = TypeVar("S", bound=EnvironmentSettings)


def load_settings(settings: type[S]) -> S:
    """Read settings from the environment; if they are invalid, exit with status 1 and one line on stderr."""
    try:
        return settings()
    except SettingsError as error:
        sys.exit(f"trunkline: {error}")
    except ValidationError as error:
        # Without the values: one of them may be a secret.
        faults = [f"TRUNKLINE_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()]
        sys.exit(f"trunkline: {'; '.join(faults)}")


def refuse_renamed_variables(environment: Mapping[str, str]) -> None:
    """Raise `SettingsError` if the environment has a variable under its former name, ignoring case."""
    given = {name.upper() for name in environment}
    renamed = [f"{old} is now {new}" for old, new in RENAMED.items() if old in given]
    if renamed:
        raise SettingsError(f"renamed environment variables: {', '.join(renamed)}")
