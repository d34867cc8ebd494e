"""The region of a NATS account: its streams name one, and processes of another region are refused.

Work, buckets and the consumers of the audit have one name in every region: two regions in one account would share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from trunkline_protocols.ids import Instance
from trunkline_protocols.rules.residency import may_cross
from trunkline_protocols.streams import CONVERSATIONS

from trunkline_chassis.bus import STREAM_NOT_FOUND
from trunkline_chassis.errors import BusConfigError, BusError, BusRefusedError
from trunkline_chassis.residency import append_violation, refuse
from trunkline_chassis.stream_configs import region_of

if TYPE_CHECKING:
    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)


async def require_region(bus: Bus, region: str, *, service: str, instance: str = "") -> bool:
    """Return whether the account belongs to a region; raises `BusError`.

    For the account of another region raise `BusConfigError`, and record the attempt there.

    An account without streams, or with those of an earlier version, belongs to the first region that is provisioned.
    """
    try:
        info = await bus.api(f"STREAM.INFO.{CONVERSATIONS.name}")
    except BusRefusedError as error:
        if error.code == STREAM_NOT_FOUND:
            return False
        raise
    home = region_of(info["config"])
    if not home or may_cross("streams", data=region, place=home):
        return home == region
    process = (service, Instance(instance or service))
    violation = refuse("streams", data=region, place=home, process=process, asset=CONVERSATIONS.name)
    _log.error("residency.account_of_another_region", region=region, home=home)
    try:
        # The account records it: in its own region, it is the attempt of a stranger.
        await append_violation(bus, home, violation, f"streams-{region}-{violation.instance}-{int(violation.at) // 60}")
    except BusError as error:
        _log.warning("residency.record_failed", error=str(error), queued=1)
    raise BusConfigError(
        f"this NATS account holds streams of region {home!r}: region {region!r} needs an account or servers of its own"
    )
