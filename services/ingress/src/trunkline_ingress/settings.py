"""Settings of the ingress."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from trunkline_chassis.settings import MCP_COMMANDS, PATH_PREFIX, McpCommands, PathPrefix
from trunkline_chassis.texts import TextSettings
from trunkline_protocols.ids import token

from trunkline_ingress.core.network import is_loopback, parse_hosts, parse_networks


class IngressSettings(TextSettings):
    """Address, authentication and limits of the ingress."""

    http_port: int = Field(8080, ge=0, le=65535, description="Port of the pages, the WebSocket and the operators' API")
    metrics_host: str = Field("127.0.0.1", description="Address of the health and metrics pages for operators")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of those pages; 0 selects a free one, published in PRESENCE"
    )
    path_prefix: PathPrefix = Field("", description=PATH_PREFIX)
    share_port: bool = Field(
        default=False,
        description="Share the port among the ingress processes of a node; the kernel distributes connections",
    )
    resume_secret: SecretStr = Field(
        min_length=32, description="Secret that signs resume tokens; the same for all ingresses and across restarts"
    )
    resume_ttl_s: float = Field(7 * 86_400.0, gt=0, description="Lifetime of a resume token, in seconds")
    auth_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret (HS256) that signs customers' access tokens; without it and without "
        "`TRUNKLINE_AUTH_JWKS`, authentication is off",
    )
    auth_jwks: str | None = Field(
        None,
        description="Public keys (RS256, ES256) of customers' access tokens: address (https) or file of a JSON Web Key "
        "Set, read again every 5 minutes and for an unknown key id",
    )
    auth_audience: str | None = Field(None, min_length=1, description="Audience (`aud`) that access tokens must have")
    auth_issuer: str | None = Field(None, min_length=1, description="Issuer (`iss`) that access tokens must have")
    auth_query_token: bool = Field(
        default=False, description="Accept access tokens as `?token=`, which proxies write into their logs"
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
    erasures_file: Path | None = Field(
        None,
        description="File that lists the erasures too, and is applied at every start: kept apart from backups, it "
        "holds what a restored backup must not bring back",
    )
    messages_per_s: float = Field(
        5.0, gt=0, description="Sustained rate of frames per customer; without authentication, per socket"
    )
    fleet_dir: Path | None = Field(
        None, description="Folder of the fleet that is published if NATS has lost or never had one"
    )
    message_burst: int = Field(20, ge=1, description="Burst of frames per customer; without authentication, per socket")
    mcp_commands: McpCommands = Field([], description=MCP_COMMANDS)
    edge_hosts: str = Field(
        "",
        description="Host names of this suite, separated by commas; `localhost` and literal addresses are always "
        "allowed, any other `Host` is refused (DNS rebinding)",
    )
    edge_trusted_proxies: str = Field(
        "",
        description="Addresses and networks of proxies, separated by commas, whose `X-Forwarded-For` is used; they are "
        "exempt from the limits per address",
    )
    edge_unlimited: str = Field(
        "",
        description="Addresses and networks of clients, separated by commas, that are exempt from the limits per "
        "address, for example `127.0.0.1` for a load test of more than 5,000 conversations",
    )
    edge_embed_origins: str = Field(
        "",
        description="Origins, separated by spaces, whose pages may show the chat page in a frame and give it the "
        "customer's access token",
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+( +|\z))*\z",
    )
    edge_address_rate: float = Field(
        1_000.0, gt=0, description="Sustained rate of frames and requests per address and process, per second"
    )
    edge_address_burst: int = Field(10_000, ge=1, description="Burst of frames and requests per address and process")
    edge_tenant_rate: float = Field(
        1_000.0, gt=0, description="Sustained rate of frames per tenant and process, per second, with authentication"
    )
    edge_tenant_burst: int = Field(10_000, ge=1, description="Burst of frames per tenant and process")
    edge_sockets_per_address: int = Field(
        6_000, ge=1, description="Open connections per address and process; lower it where customers connect directly"
    )
    edge_connections: int = Field(12_000, ge=1, description="Open connections per process")
    edge_header_timeout_s: float = Field(
        15.0, gt=0, description="Timeout until a request's header has arrived, also for the next on a connection"
    )
    edge_body_timeout_s: float = Field(30.0, gt=0, description="Timeout until a request's body has arrived")
    edge_first_frame_timeout_s: float = Field(
        30.0, gt=0, description="Timeout until a socket has started or resumed a conversation"
    )
    admission: bool = Field(
        default=True,
        description="Refuse new turns while accepted ones wait for longer than the target; if false, all are accepted",
    )
    admission_target_s: float = Field(
        0.3,
        ge=0.05,
        le=10.0,
        description="Mean time in seconds, in addition to models and tools, above which new turns are refused",
    )
    admission_burst: int = Field(
        300, ge=1, description="Turns over all ingresses that may wait while no queue is measured, as in a short peak"
    )
    sites: dict[str, str] = Field(
        {},
        description="Public addresses of all sites by region, as JSON: a customer of another region gets the address "
        'of its site, or the message that it cannot be reached; for example `{"us": "https://chat.us.example"}`',
    )
    outgoing_frames: int = Field(
        512, ge=16, description="Frames queued per socket before a slow reader is disconnected"
    )

    @property
    def is_single_machine(self) -> bool:
        """True if only this machine can connect: no address of a network, and no proxy or name for one."""
        return is_loopback(self.http_host) and not self.edge_trusted_proxies and not self.edge_hosts

    @property
    def authenticates(self) -> bool:
        """True if customers need an access token."""
        return self.auth_secret is not None or self.auth_jwks is not None

    @field_validator("edge_trusted_proxies", "edge_unlimited")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        parse_networks(value)
        return value

    @field_validator("edge_hosts")
    @classmethod
    def _check_hosts(cls, value: str) -> str:
        parse_hosts(value)
        return value

    @field_validator("sites")
    @classmethod
    def _check_sites(cls, value: dict[str, str]) -> dict[str, str]:
        for region, url in value.items():
            token(region, "region")
            address = urlsplit(url)
            if address.scheme not in {"https", "http"} or not address.hostname or address.query or address.fragment:
                raise ValueError("must be an object of region and address, such as https://chat.us.example")
            if address.scheme == "http" and not is_loopback(address.hostname):
                raise ValueError("an address of a site must be https")
        return {region: url.rstrip("/") for region, url in value.items()}

    @field_validator("auth_jwks")
    @classmethod
    def _check_jwks(cls, value: str | None) -> str | None:
        address = urlsplit(value or "")
        if "://" in (value or "") and address.scheme != "https" and not is_loopback(address.hostname or ""):
            raise ValueError("must be an https address or a file")
        return value

    @model_validator(mode="after")
    def _require_auth_beyond_loopback(self) -> Self:
        if not self.authenticates and not is_loopback(self.http_host):
            raise ValueError(
                f"TRUNKLINE_AUTH_SECRET or TRUNKLINE_AUTH_JWKS is required to serve {self.http_host}, "
                "which is not loopback"
            )
        return self
