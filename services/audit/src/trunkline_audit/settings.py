"""Settings of the audit service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from trunkline_chassis.settings import EnvironmentSettings, ProcessSettings


class RetentionSettings(EnvironmentSettings):
    """The retention of records."""

    retention_policy: Path | None = Field(
        None, description="File with the rules of retention (TOML); default: everything is kept"
    )
    retention_url: str = Field("var/archives", description="Location of archives: a folder, s3://, gs:// or az://")


class AuditSettings(ProcessSettings, RetentionSettings):
    """Settings of the audit service, in addition to those of every process."""

    postgres_dsn: str = Field(
        "postgresql://trunkline@127.0.0.1:5432/trunkline",
        description="PostgreSQL of the archive; several hosts, separated by commas, are tried in order",
        repr=False,
    )
    audit_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret of the key that signs the heads of the tree of records, the same on all nodes; default: "
        "heads are not signed",
    )
    audit_tsa_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?\z",
        description="Timestamp authority (RFC 3161) for heads of the tree of records; empty: none",
        repr=False,
    )
    audit_tsa_every_h: float = Field(
        1.0, gt=0, description="Hours between timestamps, each of the newest head; none without new records"
    )
    audit_batch_size: int = Field(500, ge=1, le=5_000, description="Maximum of messages of a stream in one transaction")
    audit_batch_wait_s: float = Field(
        0.2, ge=0, le=10, description="Seconds in which a batch collects: the lag of a message"
    )
    retention_every_h: float = Field(0.0, ge=0, description="Hours between scheduled runs of retention; 0: none")
