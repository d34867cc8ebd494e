"""Settings of the knowledge service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from trunkline_chassis.settings import Identifier, ProcessSettings
from trunkline_embedding.settings import EmbedderSettings


class RagSettings(ProcessSettings, EmbedderSettings):
    """Where knowledge is kept, and what is taken in at the start."""

    milvus_uri: str = Field("var/milvus", description="Folder of the embedded Milvus Lite, or http://host:port")
    knowledge_dir: Path | None = Field(None, description="Articles imported at the start when they have changed")
    tenant: Identifier = Field("default", description="Whose articles those are")
    backup_url: str = Field("var/backups", description="Where backups go: a folder, s3://, gs:// or az://")
    backup_every_h: float = Field(24.0, ge=0, description="Hours between scheduled backups; 0: none by itself")
    backup_keep: int = Field(7, ge=1, description="Backups that are kept")
