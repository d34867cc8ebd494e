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
