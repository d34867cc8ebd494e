"""Division of the inbox slots among the living conversation processes.

Every process computes the same division from the presences it has received, without an election. Views may differ for
one heartbeat interval: the pins of the slot consumers and the fence of the log keep a disagreement harmless.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline_protocols.ids import SLOTS, ConversationId
from trunkline_protocols.presence import Presence


@dataclass(frozen=True, slots=True)
class SlotOwnership:
    """The division of the slots, as the process `instance` sees it."""

    instance: str
    alive: Sequence[Presence]
    """Presences of the conversation service that have not timed out, in any order."""

    @property
    def owners(self) -> list[str]:
        """Instances that share the slots, sorted: the ready ones, and this process even if it is not ready yet."""
        return sorted({presence.instance for presence in self._ready} | {self.instance})

    @property
    def fair_share(self) -> int:
        """Maximum number of slots for one owner."""
        return math.ceil(SLOTS / len(self.owners))

    def successor(self, slot: int) -> str:
        """Return the owner that takes a slot over if its holder departs."""
        owners = self.owners
        return owners[slot % len(owners)]

    def inherited_from(self, departing: Presence) -> list[int]:
        """Return the slots of a departing process that this process takes over; other services hold none."""
        if departing.instance == self.instance:
            return []
        return [slot for slot in departing.slots if self.successor(slot) == self.instance]

    def is_stand_in(self, slot: int) -> bool:
        """Return whether this process recovers messages of a slot because no ready process holds the slot."""
        return not self._is_held(slot) and self.successor(slot) == self.instance

    def is_finishing_elsewhere(self, conversation: ConversationId) -> bool:
        """Return whether another process still finishes an in-flight turn of a conversation."""
        return any(conversation in presence.finishing and presence.instance != self.instance for presence in self.alive)

    @property
    def _ready(self) -> list[Presence]:
        return [presence for presence in self.alive if presence.state == "ready"]

    def _is_held(self, slot: int) -> bool:
        return any(slot in presence.slots for presence in self._ready)
