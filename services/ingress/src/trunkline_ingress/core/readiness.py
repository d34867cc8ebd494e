"""The parts without which no message would be answered. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from trunkline_protocols.fleet import TRIAGE
from trunkline_protocols.presence import Presence

_NEEDED: Final = ("conversation", "llm_gateway")
"""Services with at least one ready process, beside the agents of triage."""
_USEFUL: Final = ("rag", "audit")
"""Without the knowledge service, answers have no citations and say so; audit catches up later."""


def absent_parts(missing: Collection[str], processes: Iterable[Presence]) -> list[str]:
    """Return the missing streams and consumers, and the services without a ready process."""
    ready = [process for process in processes if process.state == "ready"]
    served = {process.service for process in ready}
    absent = [*missing, *(f"service {name}" for name in _NEEDED if name not in served)]
    if not any(process.service == "agents" and TRIAGE in process.specialties for process in ready):
        absent.append(f"agents of {TRIAGE}")
    return absent


def degraded_parts(processes: Iterable[Presence]) -> list[str]:
    """Return the services without a ready process that answers go on without."""
    served = {process.service for process in processes if process.state == "ready"}
    return [name for name in _USEFUL if name not in served]
