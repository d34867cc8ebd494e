"""Fleet versions that a process serves at once: the served one, and the candidate of a roll-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trunkline_protocols.rollout import FleetDraw, FleetRollout
from trunkline_protocols.rules.rollout import is_drawn_to_candidate

if TYPE_CHECKING:
    from trunkline_protocols.fleet import Fleet
    from trunkline_protocols.ids import ConversationId

    from trunkline_chassis.fleet_store import FleetVersion


@dataclass(frozen=True, slots=True)
class ServedFleets:
    """The served version, and a candidate whose roll-out is readable and its own.

    Without both, there is the served version only: a roll-out fails closed.
    """

    served: FleetVersion
    candidate: FleetVersion | None = None
    """The last candidate, also after its roll-out: in-flight turns keep it."""
    rollout: FleetRollout | None = None
    """State of the last roll-out of `candidate`."""

    @property
    def active_candidate(self) -> FleetVersion | None:
        """Return the candidate while its roll-out is active."""
        return self.candidate if self.rollout is not None and self.rollout.is_active else None

    @property
    def fleets(self) -> list[Fleet]:
        """Return the fleets that conversations may have, the served one first."""
        candidate = self.active_candidate
        return [self.served.fleet] if candidate is None else [self.served.fleet, candidate.fleet]

    @property
    def specialties(self) -> list[str]:
        """Return the specialties of all versions, sorted by name."""
        return sorted({specialty for fleet in self.fleets for specialty in fleet.specialties})

    def of(self, version: int) -> FleetVersion:
        """Return a version: the candidate if it is that one, else the served one."""
        return self.candidate if self.candidate is not None and self.candidate.version == version else self.served

    def draw(self) -> FleetDraw | None:
        """Return the draw of a conversation that begins now, None without a share."""
        if self.active_candidate is None or self.rollout is None or self.rollout.share == 0:
            return None
        return FleetDraw(candidate=self.rollout.candidate, share=self.rollout.share)

    def version_of_new(self, conversation: ConversationId, draw: FleetDraw | None) -> int:
        """Return the version of a conversation that begins with `draw`."""
        if draw is not None and is_drawn_to_candidate(conversation, draw):
            return draw.candidate
        return self.served.version

    def version_of_known(self, version: int) -> int:
        """Return the version of the next turn of a conversation that had `version` so far.

        A conversation keeps the candidate as long as the roll-out is active; every other one has the served version.
        """
        candidate = self.active_candidate
        return version if candidate is not None and candidate.version == version else self.served.version
