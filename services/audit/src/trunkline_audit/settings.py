"""Settings of the audit service."""

from __future__ import annotations

from pydantic import Field
from trunkline_chassis.settings import ProcessSettings


class AuditSettings(ProcessSettings):
    """What the audit service must know beside what every process knows."""

    postgres_dsn: str = Field(
        "postgresql://postgres@127.0.0.1:5432/trunkline",
        description="PostgreSQL that keeps every message; several hosts separated by commas are tried in turn",
        repr=False,
    )
    audit_batch_size: int = Field(500, ge=1, le=5_000, description="Most messages of a stream in one transaction")
    audit_batch_wait_s: float = Field(
        0.2, ge=0, le=10, description="Longest wait for a batch to fill: how far audit lags at rest"
    )
