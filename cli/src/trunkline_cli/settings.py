"""Settings of the `trunkline` command."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from trunkline_chassis.settings import EnvironmentSettings
from trunkline_rag.settings import ParserSettings


class ClientSettings(EnvironmentSettings, ParserSettings):
    """Address of the suite, and the credentials to use there."""

    url: str = Field("http://127.0.0.1:8080", pattern=r"^https?://", description="Address of a running suite")
    token: SecretStr | None = Field(None, description="JWT of the customer, if authentication is enabled")
    operator_token: SecretStr | None = Field(
        None,
        description="Token or key of the operator; default: the token that `trunkline up` keeps in the data folder",
    )
    data_dir: Path = Field(Path("var"), description="Data folder of a suite on this machine")
    data: Path | None = Field(None, description="Folder of public data sets, for tests and benches")
