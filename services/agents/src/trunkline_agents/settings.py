"""Settings of an agents process."""

from __future__ import annotations

import os

from pydantic import Field
from trunkline_chassis.cache_metrics import count_lookup
from trunkline_chassis.settings import Identifier, ProcessSettings
from trunkline_embedding import CachedEmbedder, open_embedder
from trunkline_embedding.settings import EmbedderSettings


class RoutingSettings(EmbedderSettings):
    """What the trainer of the routing and the processes that route must agree on."""

    def routing_embedder(self) -> CachedEmbedder | None:
        """Open the embedder; None where n-grams are all there is."""
        embedder = open_embedder(self.embedder_choice(), middle_layer=True)
        return CachedEmbedder(embedder, on_lookup=count_lookup) if embedder is not None else None


class AgentsSettings(ProcessSettings, RoutingSettings):
    """Which specialty this process answers for, and how much at once. Durations in seconds."""

    specialty: Identifier = Field(description="The one specialty whose work this process takes")
    concurrency: int = Field(128, ge=1, description="Turns that are answered at the same time")
    beat_s: float = Field(0.25, gt=0, description="How often the process says that it works on its turns")
    search_timeout_s: float = Field(2.0, gt=0, description="Longest wait for the knowledge base before going without")
    consult_silence_s: float = Field(1.0, gt=0, description="A consulted specialist that is silent so long is given up")
    consult_longest_s: float = Field(8.0, gt=0, description="Longest time that an answer waits for advice")
    summary_longest_s: float = Field(
        1.5, ge=0, description="Longest time that a handoff waits for a model's summary; 0 asks no model"
    )
    training_timeout_s: float = Field(60.0, gt=0, description="Longest time that training the routing may take")


def secret(name: str) -> str:
    """Read a tool's secret by its name, `shop-key` from TRUNKLINE_SECRET_SHOP_KEY; empty where there is none."""
    return os.environ.get(f"TRUNKLINE_SECRET_{name.upper().replace('-', '_')}", "")
