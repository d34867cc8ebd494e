"""Inputs of decisions besides the conversation: its fleet, the live specialties, the escalation queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec
from trunkline_chassis.fleet_view import FleetView
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_protocols.presence import HEARTBEAT_TIMEOUT_S

from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Environment
from trunkline_conversation.ports import EscalationQueue

_REFRESH_INTERVAL_S: Final = 0.25
_AGENTS: Final = "agents"


def with_fleet_version(state: Conversation, fleets: ServedFleets) -> Conversation:
    """Return the state with the fleet version of its next message; a new conversation is drawn.

    The draw is kept with the first commit: a process that takes the conversation over later does not repeat it.
    """
    if state.started:
        version = fleets.version_of_known(state.fleet_version)
        return state if version == state.fleet_version else msgspec.structs.replace(state, fleet_version=version)
    draw = fleets.draw()
    return msgspec.structs.replace(state, fleet_version=fleets.version_of_new(state.id, draw), draw=draw)


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
        self._up: frozenset[str] | None = None
        """Specialties with a live process; None as long as a heartbeat may not have arrived yet."""
        self._specialties: dict[int, frozenset[str]] = {}
        """Those of the fleets, by version."""

    def with_version(self, state: Conversation) -> Conversation:
        """Return the state with the fleet version of its next message; a new conversation is drawn."""
        return with_fleet_version(state, self._fleet_view.fleets)

    def read(self, fleet_version: int) -> Environment:
        """Return the current environment of conversations of a version."""
        now = time.monotonic()
        if now - self._refreshed_at > _REFRESH_INTERVAL_S:
            self._refresh(now)
        current = self._fleet_view.fleets.of(fleet_version)
        specialties = self._specialties.get(current.version)
        if specialties is None:
            specialties = self._specialties[current.version] = frozenset(current.fleet.specialties)
        return Environment(
            fleet=current.fleet,
            specialties=specialties,
            down=specialties - self._up if self._up is not None else frozenset(),
            now=self._now(),
            waiting=self._escalation_queue.entries(),
        )

    def _refresh(self, now: float) -> None:
        self._refreshed_at = now
        self._specialties.clear()
        if now - self._created_at > HEARTBEAT_TIMEOUT_S:
            # Earlier, the heartbeat of a live process may not have arrived yet.
            alive = self._presences.alive(_AGENTS)
            self._up = frozenset(name for presence in alive for name in presence.specialties)
