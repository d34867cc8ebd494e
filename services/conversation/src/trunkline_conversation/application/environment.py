"""What decisions depend on beside the conversation: the fleet in force, who is up, who waits for a person."""

from __future__ import annotations

import time
from typing import Final

from trunkline_chassis.fleet_view import FleetView
from trunkline_chassis.kv_view import KvView
from trunkline_chassis.presence import HEARTBEAT_TIMEOUT_S, PresenceRegistry
from trunkline_protocols.escalation import EscalationWaiting

from trunkline_conversation.core.steps import Environment

_FRESH_S: Final = 0.25
_AGENTS: Final = "agents"


class EnvironmentReader:
    """Reads the surroundings; who is up is looked at a few times a second."""

    def __init__(self, fleets: FleetView, presences: PresenceRegistry, waiting: KvView[EscalationWaiting]) -> None:
        """Everything here is kept up to date by others."""
        self._fleets = fleets
        self._presences = presences
        self._waiting = waiting
        self._since = time.monotonic()
        self._looked_at = 0.0
        self._version = 0
        self._specialties: frozenset[str] = frozenset()
        self._down: frozenset[str] = frozenset()

    def environment(self) -> Environment:
        """Return the surroundings now."""
        now = time.monotonic()
        if now - self._looked_at > _FRESH_S or self._version != self._fleets.current.version:
            self._look(now)
        return Environment(
            specialties=self._specialties,
            policy=self._fleets.fleet.escalation,
            down=self._down,
            now=time.time(),
            waiting=tuple(self._waiting.values.values()),
        )

    def _look(self, now: float) -> None:
        self._looked_at = now
        self._version = self._fleets.current.version
        self._specialties = frozenset(self._fleets.fleet.specialties)
        if now - self._since > HEARTBEAT_TIMEOUT_S:
            # Before, those who are up may not have been heard yet.
            up = {name for presence in self._presences.alive(_AGENTS) for name in presence.specialties}
            self._down = self._specialties - up
