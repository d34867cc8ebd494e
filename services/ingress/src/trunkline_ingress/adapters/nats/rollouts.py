"""State of roll-outs in KV FLEET, and the commits that they are judged by."""

from __future__ import annotations

from typing import Final

from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.fleet_store import FleetVersion, publish_candidate, publish_fleet
from trunkline_chassis.provision import provision_work
from trunkline_chassis.rollout_store import StoredRollout, put_release, put_rollout, read_release, read_rollout
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.rollout import FleetRollout, ReleaseRollout

from trunkline_ingress.core.rollout.tally import ObservedCommit

_DECODER: Final[codec.Decoder[ObservedCommit]] = codec.Decoder(ObservedCommit)
_STREAM: Final = streams.CONVERSATIONS.name


class NatsRollouts:
    """Store of the last roll-out on JetStream."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def read(self) -> StoredRollout[FleetRollout]:
        """Read the state of the last roll-out."""
        return await read_rollout(self._bus)

    async def put(self, rollout: FleetRollout, *, after: int) -> None:
        """Store the successor of revision `after`; raise `FenceError` if another process changed it."""
        await put_rollout(self._bus, rollout, after=after)

    async def publish_candidate(self, fleet: Fleet, *, by: str, note: str) -> FleetVersion:
        """Provision the work queues of a candidate, then publish it."""
        # In this order: an agents process serves its specialties as soon as it is published.
        await provision_work(self._bus, fleet.specialties)
        return await publish_candidate(self._bus, fleet, by=by, note=note)

    async def publish(self, candidate: FleetVersion, *, after: int, note: str) -> FleetVersion:
        """Publish a candidate as the successor of version `after`; raise `FenceError` if another version came first."""
        by = candidate.published.published_by
        return await publish_fleet(self._bus, candidate.fleet, after=after, by=by, origin="apply", note=note)


class NatsReleases:
    """Store of the last roll-out of a release on JetStream."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def read(self) -> StoredRollout[ReleaseRollout]:
        """Read the state."""
        return await read_release(self._bus)

    async def put(self, rollout: ReleaseRollout, *, after: int) -> None:
        """Store the successor of revision `after`; raise `FenceError` if another process changed it."""
        await put_release(self._bus, rollout, after=after)


class NatsCommitFeed:
    """Commits of all conversations, in the order of the log."""

    def __init__(self, bus: Bus) -> None:
        """Use the connection of the process."""
        self._bus = bus

    async def last(self) -> int:
        """Return the sequence of the last commit, 0 without one."""
        stored = await self._bus.last_message(_STREAM, subjects.LOGS)
        return stored.seq if stored is not None else 0

    async def read(self, *, after: int) -> list[tuple[int, ObservedCommit | None]]:
        """Read the next commits, at most a batch, each with its sequence; None for one that cannot be decoded."""
        async for batch in self._bus.read_batches(_STREAM, subjects.LOGS, after):
            return [(stored.seq, _decode(stored)) for stored in batch]
        return []


def _decode(stored: StreamMessage) -> ObservedCommit | None:
    try:
        return _DECODER.decode(stored.payload)
    except codec.DecodeError as error:
        report_undecodable("rollout_commit", stored.subject, error, sequence=stored.seq)
        return None
