"""Settings of a process, read from environment variables with the prefix TRUNKLINE_.

Only the `settings.py` modules read the environment. Every settings class derives from `EnvironmentSettings`, which
refuses a variable that has been renamed: ignoring it would start a process with defaults that its operator has changed.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError as SourceError
from trunkline_protocols.ids import Instance, token

from trunkline_chassis.nats_security import NatsSecurity
from trunkline_chassis.stream_limits import STREAM_LIMITS, LimitsByName

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

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\z")]

_SERVED: Final = frozenset({"v1", "assets", "console", "healthz", "readyz", "metrics", "favicon.ico", ".", ".."})
"""First segments of the paths that the ingress serves without a prefix; `.` and `..` are no segments."""


def _check_path_prefix(prefix: str) -> str:
    if _SERVED.intersection(prefix.split("/")[1:]):
        raise ValueError("must not contain a segment that the suite serves itself, such as /v1 or /console")
    return prefix


Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:=-]{1,64}\z")]
STREAM_TAGS: Final = (
    'Tags of the NATS servers that hold the streams, as JSON: `["region:eu"]`; a stream lies on servers that have all '
    "of them (`server_tags`), and is moved there if they change"
)

PathPrefix = Annotated[str, Field(pattern=r"^((/[A-Za-z0-9._~-]+)+)?\z"), AfterValidator(_check_path_prefix)]
PATH_PREFIX: Final = (
    "Path below which a proxy serves the pages and the API, such as `/support`; a proxy may remove it from requests"
)

McpCommands = list[list[str]]
"""Commands that the operator permits; no version of the fleet can add one."""
MCP_COMMANDS: Final = (
    'Commands that tools of kind `mcp` may start, as JSON: `[["stock-mcp", "--read-only"]]`; executable and arguments '
    "must be equal to those of the tool, and by default none is allowed"
)

ReaderAddresses = dict[str, Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._/-]*)?\z")]]
"""Base addresses of readers of facts whose `url` is a path, by name."""
READER_ADDRESSES: Final = (
    'Addresses of readers of facts whose `url` in the fleet is a path, as JSON: `{"shop": "https://shop.example"}`; a '
    "reader that is not named here rests"
)


class SettingsError(Exception):
    """The environment does not make valid settings; the message is one line for the operator."""


class EnvironmentSettings(BaseSettings):
    """Base of all settings: the prefix, immutability, choices as text, and the refusal of renamed variables."""

    model_config = SettingsConfigDict(
        env_prefix="TRUNKLINE_", frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read_choice(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - pydantic passes what it was given
        """Return the choice that a text stands for: a variable is text, and `Literal` converts nothing."""
        if not isinstance(value, str) or info.field_name is None:
            return value
        choices = _choices_of(cls.model_fields[info.field_name].annotation)
        return next((choice for choice in choices if str(choice) == value.strip()), value)

    @model_validator(mode="before")
    @classmethod
    def _refuse_renamed_variables(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic passes what it was given
        refuse_renamed_variables(os.environ)
        return values


class SystemdSettings(BaseSettings):
    """Variables that systemd gives to a process with a watchdog, under its own names (sd_notify(3))."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    notify_socket: str = ""
    watchdog_usec: int = 0
    """Microseconds without a message after which the process is killed."""
    watchdog_pid: int = 0
    """The process that is watched."""


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
        "",
        pattern=r"^[A-Za-z0-9_-]{0,64}\z",
        description="Name of this process, stable across restarts; default: service and host name",
    )
    node: str = Field(default_factory=socket.gethostname, description="Machine this process runs on")
    replicas: Literal[1, 3, 5] = Field(1, description="Copies of every replicated stream: 1 alone, 3 in a cluster")
    stream_limits: LimitsByName = Field({}, description=STREAM_LIMITS)
    stream_tags: list[Tag] = Field([], description=STREAM_TAGS)
    http_host: str = Field("127.0.0.1", description="Address of the health and metrics endpoints")
    http_port: int = Field(
        0, ge=0, le=65535, description="Port of those endpoints; 0 selects a free one, published in PRESENCE"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level of log lines")
    log_format: Literal["json", "console"] = Field("json", description="One JSON object per line, or readable text")
    shutdown_timeout_s: float = Field(10.0, gt=0, description="Maximum wait for in-flight work at shutdown, in seconds")
    traces_url: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?)?\z",
        description="Collector of traces over OTLP/HTTP, as in `http://127.0.0.1:4318`; empty turns traces off",
    )
    traces_sampling: float = Field(
        0.01, ge=0, le=1, description="Share of turns that are traced, decided by the ingress for all processes"
    )
    traces_authorization: SecretStr = Field(
        SecretStr(""), description="Value of the header `Authorization` for the collector, such as `Bearer ...`"
    )

    def instance_name(self, service: str) -> Instance:
        """Return the configured instance name, by default the service and node names."""
        named_by_node = re.sub(r"[^A-Za-z0-9_-]", "-", f"{service}-{self.node}")[:64]
        return Instance(token(self.instance or named_by_node, "instance"))


S = TypeVar("S", bound=BaseSettings)


def load_settings(settings: type[S]) -> S:
    """Read settings from the environment; if they are invalid, exit with status 1 and one line on stderr."""
    try:
        return settings()
    except SettingsError as error:
        sys.exit(f"trunkline: {error}")
    except (ValidationError, SourceError) as error:
        sys.exit(f"trunkline: {'; '.join(settings_faults(error))}")


def settings_faults(error: ValidationError | SourceError) -> list[str]:
    """Return one line for each invalid variable, without its value: it may be a secret."""
    if isinstance(error, SourceError):
        field = re.search(r'field "(\w+)"', str(error))
        return [f"TRUNKLINE_{field[1].upper()}: must be JSON" if field else "a variable must be JSON"]
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return [": ".join([*_place_of(fault["loc"]), fault["msg"].removeprefix("Value error, ")]) for fault in faults]


def _place_of(location: tuple[int | str, ...]) -> Iterator[str]:
    """Yield the variable, and the place in its JSON; nothing for a fault of several variables together."""
    if location:
        variable, *path = location
        yield f"TRUNKLINE_{variable}".upper() + "".join(f"[{key!r}]" for key in path)


def _choices_of(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - annotations have no common type
    """Yield the members of `Literal` in an annotation."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) in {Union, UnionType}:
        for member in get_args(annotation):
            yield from _choices_of(member)


def refuse_renamed_variables(environment: Mapping[str, str]) -> None:
    """Raise `SettingsError` if the environment has a variable under its former name, ignoring case."""
    given = {name.upper() for name in environment}
    renamed = [f"{old} is now {new}" for old, new in RENAMED.items() if old in given]
    if renamed:
        raise SettingsError(f"renamed environment variables: {', '.join(renamed)}")
