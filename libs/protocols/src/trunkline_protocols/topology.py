"""The part of the topology that each service re-creates if its server has lost it.

A single NATS server loses streams and consumers in memory in a restart, and everything without its volume. No process
can rely on another one to provision again, so each creates its part. Only ingress and conversation create streams and
buckets: a process that may create a missing stream could let it copy another one, and both may read every conversation
anyway. No service but the supervisor may change or delete a stream, with one exception: a stream without replicas is
lost with its node, and the conversation service, which waits for it, replaces it on another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from trunkline_protocols import streams, subjects
from trunkline_protocols.ids import SLOTS
from trunkline_protocols.streams import BucketSpec, ConsumerSpec, StreamSpec
from trunkline_protocols.subjects import QueueColour
from trunkline_protocols.wire import Record

STREAM_CREATORS: Final = frozenset({"ingress", "conversation", "supervisor"})
"""Services that create missing streams and buckets."""


TURN_STREAMS: Final = (streams.INBOX, streams.CONVERSATIONS, streams.WORK)
"""Streams without which no turn is answered."""


class Topology(Record, frozen=True, kw_only=True):
    """Streams, buckets and consumers."""

    streams: tuple[StreamSpec, ...] = ()
    buckets: tuple[BucketSpec, ...] = ()
    consumers: tuple[ConsumerSpec, ...] = ()
    replaceable: tuple[StreamSpec, ...] = ()
    """Streams that are replaced if no node answers for them."""


def whole_topology(region: str, specialties: Iterable[str]) -> Topology:
    """Return everything that the services of a region need."""
    return Topology(
        streams=streams.STREAMS,
        buckets=streams.BUCKETS,
        consumers=(*work_consumers(specialties), *slot_consumers(region), *audit_consumers()),
    )


def topology_of(service: str, region: str, specialties: Iterable[str], colour: QueueColour = "") -> Topology:
    """Return the part that a service creates; `specialties` are those that it serves, for ingress all of the fleet.

    An agents process with a `colour` creates the queues of its release beside those without one.
    """
    creates_streams = service in STREAM_CREATORS
    consumers: tuple[ConsumerSpec, ...] = ()
    match service:
        case "conversation":
            consumers = slot_consumers(region)
        case "agents" | "ingress":
            consumers = work_consumers(specialties, ("", colour) if colour else ("",))
        case "audit":
            consumers = audit_consumers()
        case _:
            pass
    return Topology(
        streams=streams.STREAMS if creates_streams else (),
        buckets=streams.BUCKETS if creates_streams else (),
        consumers=consumers,
        replaceable=tuple(each for each in streams.STREAMS if not each.replicated) if service == "conversation" else (),
    )


def work_consumers(specialties: Iterable[str], colours: Iterable[QueueColour] = ("",)) -> tuple[ConsumerSpec, ...]:
    """Return the consumers of all lanes of some specialties in some colours."""
    return tuple(
        streams.work_consumer(specialty, lane, colour)
        for specialty in specialties
        for colour in colours
        for lane in subjects.LANES
    )


def slot_consumers(region: str) -> tuple[ConsumerSpec, ...]:
    """Return the consumers of all slots of a region."""
    return tuple(streams.slot_consumer(region, slot) for slot in range(SLOTS))


def audit_consumers() -> tuple[ConsumerSpec, ...]:
    """Return the consumers of the archive."""
    return tuple(streams.audit_consumer(stream) for stream in streams.AUDITED)
