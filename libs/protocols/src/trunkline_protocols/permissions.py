"""Least NATS rights of every service, derived from the catalogue: the table that a server's configuration enforces.

A service may publish a message if the catalogue names it as a sender, and subscribe to a core subject if it names it as
a receiver. Streams are read and consumed through the JetStream API; which service does that is data here, because a
flow does not tell a reader from a consumer. A client's replies arrive below an inbox prefix of its own, so no service
can read the replies to another one.
"""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

from trunkline_protocols import streams
from trunkline_protocols.catalogue import CHANNELS
from trunkline_protocols.channels import Channel, Party
from trunkline_protocols.ids import SLOTS
from trunkline_protocols.topology import topology_of
from trunkline_protocols.wire import Record

Service = Literal["ingress", "conversation", "agents", "rag", "llm_gateway", "audit", "supervisor"]
Principal = Literal["ingress", "conversation", "agents", "rag", "llm_gateway", "audit", "supervisor", "operator"]
SERVICES: Final[tuple[Service, ...]] = get_args(Service)
PRINCIPALS: Final[tuple[Principal, ...]] = get_args(Principal)

_PARAMETER: Final = re.compile(r"\{\w+\}")

READS: Final[dict[Service, tuple[str, ...]]] = {
    "ingress": ("INBOX", "CONVERSATIONS", "ERASURES", "HOLDS", "VIEWS"),
    "conversation": ("INBOX", "CONVERSATIONS", "WORK", "ERASURES"),
    "agents": ("KV_ROUTING", "ERASURES"),
    "rag": ("KV_KNOWLEDGE",),
    "llm_gateway": (),
    "audit": (*(stream.name for stream in streams.AUDITED), streams.HEADS.name),
    "supervisor": ("WORK",),
}
"""Streams whose messages a service gets by sequence or subject, beside NOTICES, which every service reads, and the
buckets that the catalogue names it as a receiver of."""

WRITES: Final[dict[Service, tuple[str, ...]]] = {
    "agents": ("$KV.ROUTING.>",),
    "rag": ("$KV.KNOWLEDGE.>",),
    "conversation": (f"$KV.{streams.CLAIMS.name}.>",),
}
"""Binary values, locks and claims that are no messages of the catalogue."""

FOLLOWS: Final[dict[Service, tuple[str, ...]]] = {"rag": ("$KV.KNOWLEDGE.changed",)}
"""Changes of those values that a service follows."""

CORE_COPIES: Final = frozenset({"notice", "erasure"})
"""Channels of streams that are also received as core messages, when they are published."""


class Permissions(Record, frozen=True, kw_only=True):
    """Subjects that a principal may publish to and subscribe to; every other subject is denied."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def inbox_prefix(principal: str) -> str:
    """Return the prefix of the subjects on which a principal receives replies."""
    return f"_INBOX.{principal}"


def permissions(principal: Principal, *, region: str) -> Permissions:
    """Return the rights of a service in one region, or of a read-only operator."""
    if principal == "operator":
        return _operator()
    publish = {
        *_published(principal),
        *WRITES.get(principal, ()),
        *(f"$JS.API.STREAM.MSG.GET.{stream}" for stream in _read_streams(principal)),
        *(f"$JS.API.DIRECT.GET.{stream}" for stream in _read_streams(principal)),
        f"$JS.API.STREAM.INFO.{streams.CONVERSATIONS.name}",  # whose metadata names the region of the account
        *_consuming(principal, region),
        *_creating(principal, region),
        f"{inbox_prefix('operator')}.>",  # replies to `nats micro`
    }
    if principal == "supervisor":
        # It provisions the topology, and publishes the death of a process in that process' name.
        publish |= {"$JS.API.INFO", "$JS.API.STREAM.>", "$JS.API.CONSUMER.>", "$KV.PRESENCE.>"}
        # A backup acknowledges the chunks of a snapshot, and a restore sends them; it reads no more than a consumer.
        publish.add("$JS.SNAPSHOT.>")
        # A restored stream is rolled forward to the archive; as it may restore any stream, it may write no more.
        publish |= {subject for stream in streams.AUDITED for subject in stream.subjects}
    subscribe = {
        f"{inbox_prefix(principal)}.>",
        *_subscribed(principal),
        *FOLLOWS.get(principal, ()),
        *_micro(principal),
    }
    return Permissions(publish=tuple(sorted(publish)), subscribe=tuple(sorted(subscribe)))


def _operator() -> Permissions:
    """Return the rights to read every stream, bucket and micro service, and to change none."""
    return Permissions(
        publish=(
            "$JS.API.CONSUMER.INFO.>",
            "$JS.API.CONSUMER.LIST.*",
            "$JS.API.CONSUMER.NAMES.*",
            "$JS.API.DIRECT.GET.>",
            "$JS.API.INFO",
            "$JS.API.STREAM.INFO.*",
            "$JS.API.STREAM.LIST",
            "$JS.API.STREAM.MSG.GET.*",
            "$JS.API.STREAM.NAMES",
            "$SRV.>",
        ),
        subscribe=(f"{inbox_prefix('operator')}.>",),
    )


def _published(service: Service) -> set[str]:
    """Return the subjects of the flows that a service sends, and of its replies."""
    subjects = set()
    for channel in CHANNELS:
        for flow in channel.flows:
            if not _is_party(service, flow.senders) or channel.carrier == "websocket":
                continue
            if flow.reply:
                subjects |= {f"{inbox_prefix(receiver)}.>" for receiver in flow.receivers}
            else:
                subjects.add(_own_pattern(channel, service))
    return subjects


def _subscribed(service: Service) -> set[str]:
    """Return the core subjects of the flows that a service receives."""
    return {
        f"$KV.{channel.stored_in}.>" if channel.carrier == "bucket" else _pattern(channel)
        for channel in CHANNELS
        for flow in channel.flows
        if (channel.carrier in {"core", "request", "bucket"} or channel.name in CORE_COPIES)
        and not flow.reply
        and _is_party(service, flow.receivers)
    }


def _read_streams(service: Service) -> tuple[str, ...]:
    buckets = {
        f"KV_{channel.stored_in}"
        for channel in CHANNELS
        for flow in channel.flows
        if channel.carrier == "bucket" and _is_party(service, flow.receivers)
    }
    return tuple(sorted({streams.NOTICES.name, *READS[service], *buckets}))


def _creating(service: Service, region: str) -> set[str]:
    """Return the JetStream API subjects with which a service lists and creates its part of the topology."""
    topology = topology_of(service, region, ())
    names = [*(stream.name for stream in topology.streams), *(f"KV_{bucket.name}" for bucket in topology.buckets)]
    subjects = {f"$JS.API.STREAM.CREATE.{name}" for name in names} | ({"$JS.API.STREAM.NAMES"} if names else set())
    for stream in topology.replaceable:
        # The replicated streams show which nodes are gone.
        subjects |= {f"$JS.API.STREAM.INFO.{each.name}" for each in streams.STREAMS}
        subjects.add(f"$JS.API.STREAM.DELETE.{stream.name}")
    for consumer in topology.consumers:
        subjects.add(f"$JS.API.CONSUMER.NAMES.{consumer.stream}")
        subjects.add(f"$JS.API.CONSUMER.CREATE.{consumer.stream}.{consumer.name}")
    if service in {"agents", "ingress"}:
        # One per specialty and lane; a new fleet brings new specialties.
        subjects |= {f"$JS.API.CONSUMER.{verb}" for verb in ("NAMES.WORK", "CREATE.WORK.*")}
    if service == "agents":
        subjects.add(f"$JS.API.STREAM.INFO.{streams.WORK.name}")  # the time of the server that stores the queue
    if service == "ingress":
        # For its readiness and its metrics: the streams have leaders and copies, the consumers of a turn exist.
        subjects |= {f"$JS.API.STREAM.INFO.{stream.name}" for stream in streams.STREAMS}
        subjects.add(f"$JS.API.CONSUMER.NAMES.{streams.INBOX.name}")
    return subjects


def _consuming(service: Service, region: str) -> set[str]:
    """Return the JetStream API subjects of the durable consumers that a service pulls from, or creates."""
    if service == "conversation":
        names = [streams.slot_consumer(region, slot).name for slot in range(SLOTS)]
        verbs = ("MSG.NEXT", "INFO", "RESET", "UNPIN")
        return {
            *(f"$JS.API.CONSUMER.{verb}.INBOX.{name}" for verb in verbs for name in names),
            *(f"$JS.ACK.INBOX.{name}.>" for name in names),
        }
    if service == "agents":
        # One per specialty and lane; a new fleet brings new specialties.
        return {"$JS.API.CONSUMER.MSG.NEXT.WORK.*", "$JS.ACK.WORK.*.>"}
    if service == "ingress":
        # A fleet that is applied over HTTP may bring new specialties: their work queues are provisioned first.
        # An erasure overwrites the key of a customer, of which no other service may delete one.
        return {
            f"$JS.API.CONSUMER.DELETE.{streams.WORK.name}.*",
            f"$JS.API.STREAM.MSG.DELETE.KV_{streams.CUSTOMER_KEYS.name}",
        }
    if service == "audit":
        consumers = [streams.audit_consumer(stream) for stream in streams.AUDITED]
        return _trimming(region) | {
            subject
            for consumer in consumers
            for subject in (
                f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}",
                f"$JS.API.CONSUMER.INFO.{consumer.stream}.{consumer.name}",
                f"$JS.API.CONSUMER.RESET.{consumer.stream}.{consumer.name}",
                f"$JS.ACK.{consumer.stream}.{consumer.name}.>",
            )
        }
    return set()


def _trimming(region: str) -> set[str]:
    """Return the JetStream API subjects with which archived conversations are trimmed.

    No server narrows a purge to subjects: the request names them.
    """
    purged = (streams.INBOX.name, streams.CONVERSATIONS.name, f"KV_{streams.SNAPSHOTS.name}")
    slots = [streams.slot_consumer(region, slot).name for slot in range(SLOTS)]
    return {
        *(f"$JS.API.STREAM.PURGE.{stream}" for stream in purged),
        *(f"$JS.API.CONSUMER.INFO.{streams.INBOX.name}.{name}" for name in slots),
    }


def _micro(service: Service) -> set[str]:
    """Return the subjects on which a service describes itself to `nats micro`."""
    name = f"trunkline-{service}"
    verbs = ("PING", "INFO", "STATS")
    return {subject for verb in verbs for subject in (f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.*")}


def _is_party(service: Service, parties: tuple[Party, ...]) -> bool:
    return service in parties or ("every service" in parties and service != "supervisor")


def _pattern(channel: Channel) -> str:
    return _PARAMETER.sub("*", channel.address)


def _own_pattern(channel: Channel, service: Service) -> str:
    """Return the subject pattern of a channel, narrowed to the messages of one service if its address has one."""
    return _PARAMETER.sub("*", channel.address.replace("{service}", service))
