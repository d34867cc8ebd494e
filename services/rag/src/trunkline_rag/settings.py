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
    snapshot_url: str = Field("var/snapshots", description="Where snapshots go: a folder, s3://, gs:// or az://")
    snapshot_every_h: float = Field(24.0, ge=0, description="Hours between scheduled snapshots; 0: none by itself")
    snapshot_keep: int = Field(7, ge=1, description="Snapshots that are kept")
