"""Streams, consumers and buckets as data. The provision step makes the server match; nobody else creates any.

Every consumer states its `ack_wait`, `max_deliver` and limits: a durable made by subscribing keeps the server's
defaults for ever (30 s of silence after a killed worker, and unlimited redelivery).
"""

from __future__ import annotations

from typing import Final, Literal

from trunkline_protocols import subjects
from trunkline_protocols.subjects import Lane
from trunkline_protocols.wire import Record

Storage = Literal["file", "memory"]
Retention = Literal["limits", "workqueue", "interest"]

DAY_S: Final = 86_400.0


class StreamSpec(Record, frozen=True, kw_only=True):
    """A stream. Durations in seconds, 0 = no limit."""

    name: str
    subjects: list[str]
    storage: Storage
    retention: Retention
    replicated: bool
    max_age_s: float = 0.0
    duplicate_window_s: float = 120.0
    max_msgs: int = -1
    allow_msg_ttl: bool = False
    description: str = ""


class ConsumerSpec(Record, frozen=True, kw_only=True):
    """A durable pull consumer. `pinned` names its priority group: one client at a time gets everything."""

    stream: str
    name: str
    filter_subjects: list[str]
    ack_wait_s: float
    max_deliver: int
    max_ack_pending: int
    in_memory: bool = False
    pinned: str = ""
    priority_timeout_s: float = 1.0


class BucketSpec(Record, frozen=True, kw_only=True):
    """A KV bucket."""

    name: str
    ttl_s: float = 0.0
    history: int = 1
    in_memory: bool = False
    description: str = ""


INBOX: Final = StreamSpec(
    name="INBOX",
    subjects=["inbox.>", "desk.>"],
    storage="file",
    retention="limits",
    replicated=True,
    max_age_s=7 * DAY_S,
    duplicate_window_s=600.0,
    description="What customers said and what the desk ordered, before it was handled",
)
CONVERSATIONS: Final = StreamSpec(
    name="CONVERSATIONS",
    subjects=["conv.>"],
    storage="file",
    retention="limits",
    replicated=True,
    description="The log of every conversation: commits, fenced, one writer",
)
WORK: Final = StreamSpec(
    name="WORK",
    subjects=["work.>"],
    storage="memory",
    retention="workqueue",
    replicated=False,
    max_age_s=600.0,
    max_msgs=200_000,
    description="Turns waiting for an agent; losing it loses nothing",
)
NOTICES: Final = StreamSpec(
    name="NOTICES",
    subjects=["notice.>", "receipt.>"],
    storage="file",
    retention="limits",
    replicated=True,
    max_age_s=30 * DAY_S,
    allow_msg_ttl=True,
    description="Broadcasts to agents and customers, and who has taken them into account",
)
DEAD_LETTERS: Final = StreamSpec(
    name="DEAD_LETTERS",
    subjects=["dead.>"],
    storage="file",
    retention="limits",
    replicated=True,
    max_age_s=90 * DAY_S,
    description="Messages that could not be handled, visible and replayable",
)

STREAMS: Final = (INBOX, CONVERSATIONS, WORK, NOTICES, DEAD_LETTERS)

FLEET: Final = BucketSpec(name="FLEET", history=10, description="Agent definitions, versioned")
PRESENCE: Final = BucketSpec(name="PRESENCE", ttl_s=10.0, in_memory=True, description="Which processes live")
SNAPSHOTS: Final = BucketSpec(name="SNAPSHOTS", ttl_s=30 * DAY_S, description="Folded conversations")
ROUTING: Final = BucketSpec(name="ROUTING", history=5, description="Versioned routing artefacts")
SPENDING: Final = BucketSpec(name="SPENDING", ttl_s=3 * DAY_S, description="What tenants spent on models, by day")
KNOWLEDGE: Final = BucketSpec(
    name="KNOWLEDGE", description="Which process writes the knowledge base, and that it has changed"
)
TOOLS: Final = BucketSpec(name="TOOLS", ttl_s=7 * DAY_S, description="Steps of turns with tools that write")

DESK: Final = BucketSpec(
    name="DESK", ttl_s=30 * DAY_S, description="Escalations that wait for a person, by conversation"
)

BUCKETS: Final = (FLEET, PRESENCE, SNAPSHOTS, ROUTING, SPENDING, KNOWLEDGE, TOOLS, DESK)

FLEET_KEY: Final = "fleet"
"""The one key of FLEET: its revisions are the fleet's versions."""

SLOT_GROUP: Final = "g"
"""The one priority group of a slot's consumer."""


def slot_consumer(region: str, slot: int) -> ConsumerSpec:
    """Return the consumer of one slot of partitions: in memory, pinned to one conversation process."""
    return ConsumerSpec(
        stream=INBOX.name,
        name=f"slot-{region}-{slot}",
        filter_subjects=subjects.inbox_slot(region, slot),
        ack_wait_s=30.0,
        max_deliver=-1,
        max_ack_pending=1_000,
        in_memory=True,
        pinned=SLOT_GROUP,
    )


def work_consumer(specialty: str, lane: Lane) -> ConsumerSpec:
    """Return the consumer of one lane of a specialty's work; shared by all its processes.

    Work is acknowledged when it arrives: what is not within `ack_wait_s` went to a process that is dead or stalled, and
    is delivered until one takes it.
    """
    return ConsumerSpec(
        stream=WORK.name,
        name=f"agents-{specialty}-{lane}",
        filter_subjects=[subjects.work(specialty, lane)],
        ack_wait_s=1.5,
        max_deliver=-1,
        max_ack_pending=10_000,
        in_memory=True,
    )


def audit_consumer(stream: StreamSpec) -> ConsumerSpec:
    """Return audit's own consumer of one stream: everything, in order, for ever again until PostgreSQL has it."""
    return ConsumerSpec(
        stream=stream.name,
        name="audit",
        filter_subjects=list(stream.subjects),
        ack_wait_s=30.0,
        max_deliver=-1,
        max_ack_pending=20_000,
    )


AUDITED: Final = (INBOX, CONVERSATIONS, NOTICES, DEAD_LETTERS)
