"""Settings of the knowledge service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from trunkline_chassis.settings import Identifier, ProcessSettings
from trunkline_embedding.settings import EmbedderSettings

from trunkline_rag.core.articles.limits import ParseLimits


class ParserSettings(BaseSettings):
    """Limits of the parser process; a file over one of them is reported, the others are imported."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    parser_time_s: float = Field(
        3.0, gt=0, description="Processor time for a file, plus 10 s per MiB; twice as much may elapse"
    )
    parser_memory_mib: int = Field(256, ge=128, description="Address space of the parser process in MiB")
    parser_file_mib: int = Field(64, ge=1, le=1024, description="Maximum size of a file in MiB")

    def parse_limits(self) -> ParseLimits:
        """Return the limits."""
        return ParseLimits(self.parser_time_s, self.parser_memory_mib, self.parser_file_mib)


class RagSettings(ProcessSettings, EmbedderSettings, ParserSettings):
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
    rag_standby: Literal["", "first", "next"] = Field(
        "",
        description="For several rag processes, each with a folder of Milvus Lite of its own: one serves, the others "
        "wait for its loss, restore the latest backup and serve then; `first` is the one that begins, `next` any other",
    )
    rag_lease_s: float = Field(
        20.0, gt=0, description="Time without a heartbeat of the rag process that serves until another one takes over"
    )
    backup_after_change_s: float = Field(
        0, ge=0, description="Seconds after a change of articles until the next backup; 0: only the scheduled ones"
    )
    knowledge_dir: Path | None = Field(None, description="Folder of articles that is imported at the start")
    tenant: Identifier = Field("default", description="Tenant of the articles in the folder")
    backup_url: str = Field("var/backups", description="Location of backups: a folder, s3://, gs:// or az://")
    backup_every_h: float = Field(24.0, ge=0, description="Hours between scheduled backups; 0 disables them")
    backup_keep: int = Field(7, ge=1, description="Number of backups to keep")
