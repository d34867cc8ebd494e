"""What the signs of a process mean: it is well, has to be asked, or must be replaced.

A pid says nothing: a frozen process has one. A service beats over NATS and answers over HTTP. Only who does neither is
frozen; when NATS is away nobody beats, everybody answers, and nobody is replaced for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Verdict: TypeAlias = Literal["well", "ask", "frozen", "cut off", "never ready", "never ended"]

LATE_S: Final = 1.6
"""A beat is expected every second."""
FROZEN_S: Final = 2.5
CUT_OFF_S: Final = 20.0
"""Answers, but does not beat while others do: its way to NATS is broken and does not mend."""
START_S: Final = 90.0
LEAVE_S: Final = 20.0
"""Somebody has asked it to stop, and it says that it does."""


@dataclass(frozen=True, slots=True)
class HealthSignals:
    """What was seen of a service process, in seconds; None for what was never seen."""

    running_s: float
    silent_s: float | None
    """Since its last beat."""
    unanswered_s: float
    """Since it was first asked in vain; 0 when it answered the last time."""
    others_beat: bool
    """Whether other processes are heard, so that the way of the beats is not the fault."""
    leaving_s: float = 0.0
    """Since it was first seen to stop; 0 when it does not."""


def assess(signs: HealthSignals) -> Verdict:
    """Say what the signs of a service process mean."""
    if signs.silent_s is None:
        return "never ready" if signs.running_s > START_S and signs.others_beat else "well"
    if signs.leaving_s > LEAVE_S:
        return "never ended"
    if signs.silent_s <= LATE_S:
        return "well"
    if signs.silent_s >= FROZEN_S and signs.unanswered_s >= FROZEN_S:
        return "frozen"
    if signs.silent_s >= CUT_OFF_S and signs.others_beat and signs.running_s > CUT_OFF_S:
        return "cut off"
    return "ask"


def assess_server(*, unanswered_s: float, patience_s: float) -> Verdict:
    """Say what it means that a server (NATS, PostgreSQL) has not answered for so long."""
    return "frozen" if unanswered_s >= patience_s else "ask"
