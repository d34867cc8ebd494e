"""The border between stored records and operators: what was stored in this account by mistake is not shown."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rules.residency import recorded_region


def admits_records(borders: BorderGuard, conversation: ConversationId, regions: Iterable[str]) -> bool:
    """Return whether all records of a conversation, by the regions that they name, are of this region.

    If not, nothing of it is shown: the rest would look complete. A repeated look is one record of the violation.
    """
    foreign = sorted({*regions} - {borders.region})
    passages = [
        borders.admits(
            "console",
            data=region,
            conversation=conversation,
            record_id=f"shown-{conversation}-{recorded_region(region)}",
        )
        for region in foreign
    ]
    return all(passages)
