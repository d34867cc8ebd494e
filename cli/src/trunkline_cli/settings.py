"""Settings of the `trunkline` command."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
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
    postgres_dsn: str | None = Field(
        None, description="PostgreSQL of the audit trail; default: the one of the data folder", repr=False
    )
    data_dir: Path = Field(Path("var"), description="Data folder of a suite on this machine")
    backup_store: str | None = Field(
        None,
        description="Store of backups of a whole suite: a folder outside of the data folder, or s3://, gs://, az://",
    )
    data: Path | None = Field(None, description="Folder of public data sets, for tests and benches")

    @field_validator("url")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if not _is_address(value.strip()):
            raise ValueError("must be http://HOST, http://HOST:PORT or either with a path; IPv6 in brackets")
        return value.strip()

    @field_validator("token", "operator_token")
    @classmethod
    def _check_token(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse a token that no header can hold."""
        if value is None:
            return None
        token = value.get_secret_value().strip()
        if not (token.isascii() and token.isprintable()):
            raise ValueError("must be one line of ASCII characters")
        return SecretStr(token)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_valid_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return has_valid_port and bool(parts.hostname) and url.isprintable() and " " not in url
