"""The workload that a plan is for, as an operator states it."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_CONVERSATIONS = 100_000_000
MAX_TURNS_PER_MINUTE = 100_000_000
MAX_AGENTS = 10_000
MAX_PASSAGES = 100_000_000
MAX_MODEL_MS = 600_000
MAX_RETENTION_DAYS = 36_500


class WorkloadError(ValueError):
    """A number that no workload has; the message names the option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Conversations that are open at once, turns per minute over all of them at the peak, and their needs."""

    conversations: int
    turns_per_minute: float
    agents: int = 28
    passages: int = 1_000
    model_ms: float = 1_500.0
    """Time of a model for an answer, in milliseconds."""
    replicas: int = 3
    retention_days: float = 90.0
    """Time for which logs and archive are kept."""
    by_meaning: bool = True
    mean_share: float = 0.3
    """Mean rate over days as a share of `turns_per_minute`, which is the peak."""

    def __post_init__(self) -> None:
        """Raise `WorkloadError` for a number out of range."""
        _check("--conversations", self.conversations, 1, MAX_CONVERSATIONS)
        _check("--turns-per-minute", self.turns_per_minute, 0, MAX_TURNS_PER_MINUTE, exclusive=True)
        _check("--agents", self.agents, 1, MAX_AGENTS)
        _check("--passages", self.passages, 0, MAX_PASSAGES)
        _check("--model-ms", self.model_ms, 0, MAX_MODEL_MS)
        _check("--mean-share", self.mean_share, 0, 1, exclusive=True)
        _check("--retention-days", self.retention_days, 0, MAX_RETENTION_DAYS, exclusive=True)
        if self.replicas not in {1, 3, 5}:
            raise WorkloadError(f"--replicas must be one of: 1, 3, 5; got {self.replicas}")

    @property
    def turns_per_s(self) -> float:
        """The rate at the peak."""
        return self.turns_per_minute / 60

    @property
    def mean_turns_per_s(self) -> float:
        """The mean rate, by which storage grows."""
        return self.turns_per_s * self.mean_share


def _check(option: str, value: float, least: float, most: float, *, exclusive: bool = False) -> None:
    if not math.isfinite(value) or value < least or value > most or (exclusive and value == least):
        bound = f"over {least:g}" if exclusive else f"{least:g} or more"
        raise WorkloadError(f"{option} must be {bound} and at most {most:g}, got {value:g}")
