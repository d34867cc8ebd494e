"""Settings of the ingress."""

from __future__ import annotations

import ipaddress
from typing import Self

from pydantic import Field, SecretStr, model_validator
from trunkline_chassis.settings import ProcessSettings


class IngressSettings(ProcessSettings):
    """Where customers come in, and who may."""

    http_port: int = Field(8080, ge=0, le=65535, description="Port of the chat page, the WebSocket and operators' API")
    share_port: bool = Field(
        default=False, description="Several ingress processes of one machine listen on the port; the kernel spreads"
    )
    resume_secret: SecretStr = Field(
        min_length=16, description="Signs resume tokens; the same for all ingresses and over restarts"
    )
    auth_secret: SecretStr | None = Field(None, description="With it, clients need a JWT (HS256) signed with it")
    operator_token: SecretStr | None = Field(
        None, description="What /v1/ops/ asks for as bearer token where auth is on"
    )
    messages_per_s: float = Field(5.0, gt=0, description="Messages that one socket may send in the long run")
    message_burst: int = Field(20, ge=1, description="Messages that one socket may send at once")
    outgoing_frames: int = Field(512, ge=16, description="Frames that wait for a slow reader before it is cut off")

    @model_validator(mode="after")
    def _open_only_with_auth(self) -> Self:
        if self.auth_secret is None and not _is_loopback(self.http_host):
            raise ValueError(f"without TRUNKLINE_AUTH_SECRET only loopback may be served, not {self.http_host}")
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
