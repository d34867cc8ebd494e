"""State of a roll-out as one key of KV FLEET: of a fleet version, and of a release."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from trunkline_protocols import codec
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout
from trunkline_protocols.streams import FLEET, RELEASE_KEY, ROLLOUT_KEY

from trunkline_chassis.undecodable import report_undecodable

if TYPE_CHECKING:
    from trunkline_chassis.bus import Bus

R = TypeVar("R", FleetRollout, ReleaseRollout)
_STREAM: Final = f"KV_{FLEET.name}"
ROLLOUT_SUBJECT: Final = f"$KV.{FLEET.name}.{ROLLOUT_KEY}"
RELEASE_SUBJECT: Final = f"$KV.{FLEET.name}.{RELEASE_KEY}"


@dataclass(frozen=True, slots=True)
class StoredRollout(Generic[R]):
    """The state of the last roll-out, None without a readable one, and its revision, 0 if nothing is stored."""

    rollout: R | None
    revision: int


async def read_rollout(bus: Bus) -> StoredRollout[FleetRollout]:
    """Read the state of the last roll-out of a fleet version."""
    return await _read(bus, ROLLOUT_SUBJECT, codec.rollout, "fleet_rollout")


async def put_rollout(bus: Bus, rollout: FleetRollout, *, after: int) -> StoredRollout[FleetRollout]:
    """Store the state as the successor of revision `after`; raise `FenceError` if another process changed it."""
    return await _put(bus, ROLLOUT_SUBJECT, rollout, f"rollout-{after}", after)


async def read_release(bus: Bus) -> StoredRollout[ReleaseRollout]:
    """Read the state of the last roll-out of a release."""
    return await _read(bus, RELEASE_SUBJECT, codec.release, "release_rollout")


async def put_release(bus: Bus, rollout: ReleaseRollout, *, after: int) -> StoredRollout[ReleaseRollout]:
    """Store the state as the successor of revision `after`; raise `FenceError` if another process changed it."""
    return await _put(bus, RELEASE_SUBJECT, rollout, f"release-{after}", after)


async def _read(bus: Bus, subject: str, decoder: codec.Decoder[R], place: str) -> StoredRollout[R]:
    stored = await bus.last_message(_STREAM, subject)
    if stored is None:
        return StoredRollout(None, 0)
    try:
        return StoredRollout(decoder.decode(stored.payload), stored.seq)
    except codec.DecodeError as error:
        report_undecodable(place, stored.subject, error, sequence=stored.seq)
        return StoredRollout(None, stored.seq)


async def _put(bus: Bus, subject: str, rollout: R, id_: str, after: int) -> StoredRollout[R]:
    appended = await bus.append(
        subject, codec.encode(rollout), message_id=f"{id_}-{time.time_ns()}", fence=(subject, after)
    )
    return StoredRollout(rollout, appended.seq)
