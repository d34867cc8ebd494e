"""Settings of the conversation service."""

from __future__ import annotations

from pydantic import Field
from trunkline_chassis.settings import READER_ADDRESSES, ReaderAddresses
from trunkline_chassis.texts import TextSettings


class ConversationSettings(TextSettings):
    """Settings for the memory of conversations and the timeouts of agents. Durations in seconds."""

    memory_budget_mib: int = Field(256, ge=1, description="Memory for idle conversations; least recently used go first")
    snapshot_every: int = Field(16, ge=1, description="Commits between two snapshots of a conversation")
    agent_silence_s: float = Field(
        0.8, gt=0, description="Heartbeat timeout of an agent; then its turn is dispatched again"
    )
    unclaimed_s: float = Field(
        1.0,
        gt=0,
        description="Claim timeout of work, doubled at each expiry; then it is published again if it was lost",
    )
    turn_timeout_s: float = Field(90.0, gt=0, description="Maximum duration of one agent's work on a turn")
    reader_addresses: ReaderAddresses = Field({}, description=READER_ADDRESSES)
