"""Health verdicts: a process is healthy, has to be probed, or must be replaced.

A pid proves nothing: a frozen process has one. A service publishes heartbeats over NATS and answers HTTP. It is frozen
only if it does neither: when NATS is down, no heartbeat arrives, every process still answers, and none is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

HealthVerdict: TypeAlias = Literal["healthy", "probe", "frozen", "partitioned", "start_timeout", "stop_timeout"]

HEARTBEAT_LATE_S: Final = 1.6
"""A heartbeat is due every second."""
FROZEN_AFTER_S: Final = 2.5
PARTITIONED_AFTER_S: Final = 20.0
"""It answers HTTP but its heartbeats do not arrive: it is partitioned from NATS and does not reconnect."""
START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 20.0
"""It reports that it is stopping; the supervisor did not request it, else its own stop timeout applies."""


@dataclass(frozen=True, slots=True)
class HealthSignals:
    """Observations of a service process, in seconds."""

    running_s: float
    heartbeat_age_s: float | None
    """Since its last heartbeat; None if none has arrived."""
    unanswered_s: float
    """Since the first of the probes in a row that failed; 0 if the last one succeeded."""
    peers_alive: bool
    """Heartbeats of other processes arrive, hence NATS is not at fault."""
    stopping_s: float = 0.0
    """Since its heartbeat first reported that it is stopping; 0 if it does not."""


def assess(signals: HealthSignals) -> HealthVerdict:
    """Return the verdict on a service process."""
    if signals.heartbeat_age_s is None:
        return "start_timeout" if signals.running_s > START_TIMEOUT_S and signals.peers_alive else "healthy"
    if signals.stopping_s > STOP_TIMEOUT_S:
        return "stop_timeout"
    if signals.heartbeat_age_s <= HEARTBEAT_LATE_S:
        return "healthy"
    if signals.heartbeat_age_s >= FROZEN_AFTER_S and signals.unanswered_s >= FROZEN_AFTER_S:
        return "frozen"
    if (
        signals.heartbeat_age_s >= PARTITIONED_AFTER_S
        and signals.peers_alive
        and signals.running_s > PARTITIONED_AFTER_S
    ):
        return "partitioned"
    return "probe"


def assess_server(*, unanswered_s: float, timeout_s: float) -> HealthVerdict:
    """Return the verdict on a server (NATS, PostgreSQL) whose probes have failed for `unanswered_s` seconds."""
    return "frozen" if unanswered_s >= timeout_s else "probe"
