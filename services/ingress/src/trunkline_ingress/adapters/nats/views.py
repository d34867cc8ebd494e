"""Views of conversations by operators, stored in VIEWS."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.views import ConversationViewed, View

from trunkline_ingress.core.operators import Operator
from trunkline_ingress.core.trace import ViewEntry

_INTERVAL_S: Final = 60
"""An open page reads its conversation again and again: that is one view a minute."""
_LIST_INTERVAL_S: Final = 3_600
"""A list shows a message of each conversation, and a page reads it every few seconds."""
_LISTS: Final[frozenset[View]] = frozenset({"queue", "review", "customer"})
_MAX_RECORDED: Final = 20_000
"""Latest views that this process has stored, which are not sent again."""
_NAME_CHARACTERS: Final = 12


class NatsViews:
    """Views on JetStream, which drops those that are in the stream already."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus
        self._recorded: OrderedDict[str, None] = OrderedDict()

    async def record(self, region: str, conversation: ConversationId, view: View, operator: Operator) -> None:
        """Store a view; raises `BusUnavailableError` if that fails."""
        now = time.time()
        interval_s = _LIST_INTERVAL_S if view in _LISTS else _INTERVAL_S
        by = hashlib.sha256(f"{operator.role}\n{operator.name}".encode()).hexdigest()[:_NAME_CHARACTERS]
        message_id = f"{conversation}-{view}-{by}-{int(now) // interval_s}"
        if message_id in self._recorded:
            return
        viewed = ConversationViewed(
            conversation=conversation, view=view, operator=operator.name, role=operator.role, at=now
        )
        await self._bus.append(subjects.view(region, conversation), codec.encode(viewed), message_id=message_id)
        self._recorded[message_id] = None
        while len(self._recorded) > _MAX_RECORDED:
            self._recorded.popitem(last=False)

    async def stored(self, region: str, conversation: ConversationId) -> list[ViewEntry]:
        """Read the views in the stream."""
        views = []
        for stored in await self._bus.read_messages(streams.VIEWS.name, subjects.view(region, conversation)):
            try:
                views.append(ViewEntry(stored.subject, stored.seq, codec.viewed.decode(stored.payload)))
            except codec.DecodeError as error:
                report_undecodable("view", stored.subject, error, sequence=stored.seq)
        return views
