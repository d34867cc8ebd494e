"""Settings of an agents process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from trunkline_chassis.settings import (
    MCP_COMMANDS,
    READER_ADDRESSES,
    Identifier,
    McpCommands,
    ReaderAddresses,
)
from trunkline_chassis.texts import TextSettings
from trunkline_embedding import Embedder, message_embedder, open_embedder
from trunkline_embedding.settings import EmbedderSettings
from trunkline_protocols.subjects import QueueColour


class RoutingSettings(EmbedderSettings):
    """Settings shared by the trainer and the processes that use its artefacts."""

    def routing_embedder(self) -> Embedder | None:
        """Open the embedder of messages; None if routing uses n-grams alone."""
        embedder = open_embedder(self.embedder_choice())
        return message_embedder(embedder) if embedder is not None else None


class AgentsSettings(TextSettings, RoutingSettings):
    """Settings of a process that serves one specialty or all. Durations are in seconds."""

    specialty: Identifier | Literal["*"] = Field(
        description="Specialty that this process serves; `*` serves all those of the fleet"
    )
    colour: QueueColour = Field(
        "",
        description="Release that this process belongs to, `blue` or `green`, if releases are rolled out by shares of "
        "conversations; by default none",
    )
    concurrency: int = Field(128, ge=1, description="Maximum number of concurrent turns per specialty")
    work_heartbeat_interval_s: float = Field(0.25, gt=0, description="Interval of the heartbeats of in-flight turns")
    search_timeout_s: float = Field(
        2.0, gt=0, description="Timeout of a knowledge search; after it, the answer is written without passages"
    )
    consult_idle_timeout_s: float = Field(1.0, gt=0, description="Maximum time without progress of a consultation")
    consult_timeout_s: float = Field(8.0, gt=0, description="Timeout of a consultation")
    summary_timeout_s: float = Field(
        1.5, ge=0, description="Timeout of a model's handoff summary; 0 disables the model"
    )
    training_timeout_s: float = Field(240.0, gt=0, description="Timeout of the routing's training")
    routing_cache: Path | None = Field(
        None,
        description="Folder of trained routing artefacts, read before a training and written after it; by default none",
    )
    mcp_commands: McpCommands = Field([], description=MCP_COMMANDS)
    reader_addresses: ReaderAddresses = Field({}, description=READER_ADDRESSES)
    secret_hosts: dict[str, list[str]] = Field(
        {},
        description='Hosts that may receive each secret of tools, as JSON: `{"shop-key": ["shop.example"]}`. An entry '
        "is `host`, `host:port`, or `http://host:port` for plain HTTP beyond this machine; a secret without an entry "
        "is not sent",
    )


def secret(name: str) -> str:
    """Return a tool's secret, e.g. `shop-key` from TRUNKLINE_SECRET_SHOP_KEY; an empty string if it is not set."""
    return os.environ.get(f"TRUNKLINE_SECRET_{name.upper().replace('-', '_')}", "")
