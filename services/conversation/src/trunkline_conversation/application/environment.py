"""Inputs of decisions besides the conversation: its fleet, the live specialties, the escalation queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from trunkline_chassis.fleet_view import FleetView
from trunkline_chassis.presence import PresenceRegistry
from trunkline_chassis.release_view import ReleaseView
from trunkline_chassis.served_fleets import ServedFleets
from trunkline_protocols.presence import HEARTBEAT_TIMEOUT_S, Presence
from trunkline_protocols.rollout import ReleaseRollout
from trunkline_protocols.rules.colours import colour_of, draw_of_new, queue_of
from trunkline_protocols.subjects import QueueColour

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


def with_colour(state: Conversation, release: ReleaseRollout | None) -> Conversation:
    """Return the state with the colour of its next message; a new conversation is drawn, as for a fleet version."""
    draw = state.release_draw if state.started else draw_of_new(release)
    colour = colour_of(release, state.id, draw)
    if (colour, draw) == (state.colour, state.release_draw):
        return state
    return msgspec.structs.replace(state, colour=colour, release_draw=draw)


def ready_colours(agents: Iterable[Presence]) -> dict[str, frozenset[str]]:
    """Return the colours of the ready agents processes of each specialty."""
    ready = [presence for presence in agents if presence.state == "ready"]
    specialties = {name for presence in ready for name in presence.specialties}
    return {
        name: frozenset(presence.colour for presence in ready if name in presence.specialties) for name in specialties
    }


class EnvironmentReader:
    """Reads the environment; the live specialties are cached for a quarter of a second."""

    def __init__(
        self,
        fleet_view: FleetView,
        release_view: ReleaseView,
        presences: PresenceRegistry,
        escalation_queue: EscalationQueue,
        *,
        now: Callable[[], float],
    ) -> None:
        """Use views that are kept up to date elsewhere; `now` is the clock, Unix time in seconds."""
        self._fleet_view = fleet_view
        self._release_view = release_view
        self._presences = presences
        self._escalation_queue = escalation_queue
        self._now = now
        self._created_at = time.monotonic()
        self._refreshed_at = 0.0
        self._up: frozenset[str] | None = None
        """Specialties with a live process; None as long as a heartbeat may not have arrived yet."""
        self._ready: dict[str, frozenset[str]] = {}
        """Colours of the ready agents processes, by specialty."""
        self._specialties: dict[int, frozenset[str]] = {}
        """Those of the fleets, by version."""

    def with_version(self, state: Conversation) -> Conversation:
        """Return the state with the fleet version and the colour of its next message; a new conversation is drawn."""
        return with_colour(with_fleet_version(state, self._fleet_view.fleets), self._release_view.release)

    def queue_of(self, colour: str, specialty: str) -> QueueColour:
        """Return the queue for work of a conversation: another colour's if no agent of its own one is ready."""
        self._refresh_if_due()
        return queue_of(colour, self._ready.get(specialty, frozenset()))

    def read(self, fleet_version: int) -> Environment:
        """Return the current environment of conversations of a version."""
        self._refresh_if_due()
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

    def _refresh_if_due(self) -> None:
        now = time.monotonic()
        if now - self._refreshed_at <= _REFRESH_INTERVAL_S:
            return
        self._refreshed_at = now
        self._specialties.clear()
        if now - self._created_at > HEARTBEAT_TIMEOUT_S:
            # Earlier, the heartbeat of a live process may not have arrived yet.
            alive = self._presences.alive(_AGENTS)
            self._up = frozenset(name for presence in alive for name in presence.specialties)
            self._ready = ready_colours(alive)
