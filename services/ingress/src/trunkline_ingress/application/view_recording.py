"""Records of lists that show texts of many conversations: each of them was looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from trunkline_protocols.ids import ConversationId
from trunkline_protocols.views import View

from trunkline_ingress.core.operators import Operator
from trunkline_ingress.operator_ports import ViewRecords

_MAX_CONCURRENT: Final = 64


async def record_views(
    views: ViewRecords, shown: Iterable[tuple[str, ConversationId]], view: View, operator: Operator
) -> None:
    """Store a view of each conversation, given with its region; raises `BusUnavailableError` if one fails."""
    unique = list(dict.fromkeys(shown))
    for start in range(0, len(unique), _MAX_CONCURRENT):
        some = unique[start : start + _MAX_CONCURRENT]
        await asyncio.gather(*(views.record(region, conversation, view, operator) for region, conversation in some))
