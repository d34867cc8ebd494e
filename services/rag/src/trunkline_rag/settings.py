"""Settings of the knowledge service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from trunkline_chassis.settings import Identifier, ProcessSettings
from trunkline_embedding.settings import EmbedderSettings


class RagSettings(ProcessSettings, EmbedderSettings):
    """Store, backups and the folder that is imported at the start."""

    milvus_uri: str = Field(
        "var/milvus", description="Folder of the embedded Milvus Lite, or http://host:port, https://host:port"
    )
    milvus_token: SecretStr = Field(SecretStr(""), description="Token of the Milvus server, or user:password")
    milvus_ca: Path | None = Field(
        None, description="Certificate authority of the Milvus server (PEM); default: those of the system"
    )
    socket_dir: Path | None = Field(
        None, description="Private folder for the socket of the embedded Milvus; default: its own folder"
    )
    knowledge_dir: Path | None = Field(None, description="Folder of articles that is imported at the start")
    tenant: Identifier = Field("default", description="Tenant of the articles in the folder")
    backup_url: str = Field("var/backups", description="Location of backups: a folder, s3://, gs:// or az://")
    backup_every_h: float = Field(24.0, ge=0, description="Hours between scheduled backups; 0 disables them")
    backup_keep: int = Field(7, ge=1, description="Number of backups to keep")
