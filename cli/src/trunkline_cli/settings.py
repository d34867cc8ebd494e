"""What the command line takes from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """Which suite is talked to, and as whom."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", frozen=True, extra="ignore")

    url: str = Field("http://127.0.0.1:8080", pattern=r"^https?://", description="Address of a running suite")
    token: SecretStr | None = Field(None, description="Customer's JWT, where auth is on")
    operator_token: SecretStr | None = Field(None, description="Operator's token, where auth is on")
    data: Path | None = Field(None, description="Folder of public data sets for benches")
