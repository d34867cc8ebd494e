"""Settings of the conversation service."""

from __future__ import annotations

from pydantic import Field
from trunkline_chassis.settings import ProcessSettings


class ConversationSettings(ProcessSettings):
    """How conversations are kept and how agents are watched. Durations in seconds."""

    memory_budget_mib: int = Field(256, ge=1, description="Memory for folded conversations; the least used go first")
    snapshot_every: int = Field(16, ge=1, description="Commits between two snapshots of a conversation")
    agent_silence_s: float = Field(0.8, gt=0, description="An agent that is silent for so long is given up")
    unclaimed_s: float = Field(3.0, gt=0, description="Work that nobody took for so long is published again")
    turn_timeout_s: float = Field(90.0, gt=0, description="Longest time for one piece of an agent's work")
