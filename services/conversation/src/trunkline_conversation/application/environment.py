"""Inputs of decisions besides the conversation: the fleet, the live specialties, the escalation queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from trunkline_chassis.fleet_view import FleetView
from trunkline_chassis.presence import PresenceRegistry
from trunkline_protocols.presence import HEARTBEAT_TIMEOUT_S

from trunkline_conversation.core.steps import Environment
from trunkline_conversation.ports import EscalationQueue

_REFRESH_INTERVAL_S: Final = 0.25
_AGENTS: Final = "agents"


class EnvironmentReader:
    """Reads the environment; the live specialties are cached for a quarter of a second."""

    def __init__(
        self,
        fleet_view: FleetView,
        presences: PresenceRegistry,
        escalation_queue: EscalationQueue,
        *,
        now: Callable[[], float],
    ) -> None:
        """Use views that are kept up to date elsewhere; `now` is the clock, Unix time in seconds."""
        self._fleet_view = fleet_view
        self._presences = presences
        self._escalation_queue = escalation_queue
        self._now = now
        self._created_at = time.monotonic()
        self._refreshed_at = 0.0
        self._version = 0
        self._specialties: frozenset[str] = frozenset()
        self._down: frozenset[str] = frozenset()

    def read(self) -> Environment:
        """Return the current environment."""
        now = time.monotonic()
        if now - self._refreshed_at > _REFRESH_INTERVAL_S or self._version != self._fleet_view.current.version:
            self._refresh(now)
        return Environment(
            fleet=self._fleet_view.fleet,
            specialties=self._specialties,
            down=self._down,
            now=self._now(),
            waiting=self._escalation_queue.entries(),
        )

    def _refresh(self, now: float) -> None:
        self._refreshed_at = now
        self._version = self._fleet_view.current.version
        self._specialties = frozenset(self._fleet_view.fleet.specialties)
        if now - self._created_at > HEARTBEAT_TIMEOUT_S:
            # Earlier, the heartbeat of a live process may not have arrived yet.
            up = {name for presence in self._presences.alive(_AGENTS) for name in presence.specialties}
            self._down = self._specialties - up
