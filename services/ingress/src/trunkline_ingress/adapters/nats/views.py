"""Views of conversations by operators, stored in VIEWS."""

from __future__ import annotations

import hashlib
import time
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.views import ConversationViewed, View

from trunkline_ingress.core.operators import Operator

_INTERVAL_S: Final = 60
"""An open page reads its conversation again and again: that is one view a minute."""
_NAME_CHARACTERS: Final = 12


class NatsViews:
    """Views on JetStream, which drops those that are in the stream already."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def record(self, region: str, conversation: ConversationId, view: View, operator: Operator) -> None:
        """Store a view; raises `BusUnavailableError` if that fails."""
        now = time.time()
        viewed = ConversationViewed(
            conversation=conversation, view=view, operator=operator.name, role=operator.role, at=now
        )
        by = hashlib.sha256(f"{operator.role}\n{operator.name}".encode()).hexdigest()[:_NAME_CHARACTERS]
        await self._bus.append(
            subjects.view(region, conversation),
            codec.encode(viewed),
            message_id=f"{conversation}-{view}-{by}-{int(now) // _INTERVAL_S}",
        )
