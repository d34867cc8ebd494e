"""Time of a turn's commit that is not the suite's own: at models, tools, consulted agents and the company's systems."""

from __future__ import annotations

from typing import Final

from trunkline_protocols.log import Commit, Consulted, Event, HandedOff, ToolUsed, TurnAnswered

_MS: Final = 1_000.0


def outside_s(commit: Commit) -> float:
    """Return the seconds that the steps of a commit took outside; consultations run at the same time."""
    consulted_ms = max((event.work_ms for event in commit.events if isinstance(event, Consulted)), default=0.0)
    return (consulted_ms + sum(map(_event_ms, commit.events))) / _MS


def is_telling(commit: Commit) -> bool:
    """Return whether the time of the turn shows how long turns wait.

    Apologies and other texts of the system do not, and no turn that was dispatched again after the death of an agent.
    """
    answered = next((event for event in commit.events if isinstance(event, TurnAnswered)), None)
    return answered is not None and bool(answered.title) and answered.attempt == 1


def _event_ms(event: Event) -> float:
    match event:
        case TurnAnswered(timings=timings, attempts=attempts):
            # The attempts of all providers, failed ones included, if there were several.
            return max(timings.model_ms, sum(attempt.ms for attempt in attempts)) + timings.context_ms
        case HandedOff(timings=timings):
            return timings.model_ms
        case ToolUsed(use=use):
            return use.ms
        case _:
            return 0.0
