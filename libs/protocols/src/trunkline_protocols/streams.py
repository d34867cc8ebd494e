"""Streams, consumers and buckets as data. Only the provision step creates them on the server.

Every consumer sets `ack_wait`, `max_deliver` and its limits explicitly: a durable consumer created by a subscription
keeps the server's defaults (redelivery 30 s after a killed worker, without limit).
"""

from __future__ import annotations

from typing import Final, Literal

from trunkline_protocols import subjects
from trunkline_protocols.subjects import Lane, QueueColour
from trunkline_protocols.wire import Record

Storage = Literal["file", "memory"]
Retention = Literal["limits", "workqueue", "interest"]
Discard = Literal["old", "new"]

DAY_S: Final = 86_400.0


class StreamSpec(Record, frozen=True, kw_only=True):
    """Configuration of a stream. Durations in seconds, 0 = unlimited."""

    name: str
    subjects: list[str]
    storage: Storage
    retention: Retention
    replicated: bool
    max_age_s: float = 0.0
    duplicate_window_s: float = 120.0
    max_msgs: int = -1
    allow_msg_ttl: bool = False
    discard: Discard = "new"
    """At a limit of size, refuse a new message or remove the oldest one."""
    description: str = ""


class ConsumerSpec(Record, frozen=True, kw_only=True):
    """Configuration of a durable pull consumer. In its priority group, `pinned`, one client at a time gets messages."""

    stream: str
    name: str
    filter_subjects: list[str]
    ack_wait_s: float
    max_deliver: int
    max_ack_pending: int
    in_memory: bool = False
    ack_all: bool = False
    """If true, an acknowledgement counts for all earlier deliveries too; fixed when the consumer is created."""
    pinned: str = ""
    priority_timeout_s: float = 1.0


class BucketSpec(Record, frozen=True, kw_only=True):
    """Configuration of a KV bucket."""

    name: str
    ttl_s: float = 0.0
    history: int = 1
    in_memory: bool = False
    is_erasable: bool = False
    """If true, a single value can be overwritten on the disk."""
    description: str = ""


INBOX: Final = StreamSpec(
    name="INBOX",
    subjects=["inbox.>", "desk.>"],
    storage="file",
    retention="limits",
    replicated=True,
    max_age_s=7 * DAY_S,
    duplicate_window_s=600.0,
    description="Customer messages and desk commands, before they are handled",
)
CONVERSATIONS: Final = StreamSpec(
    name="CONVERSATIONS",
    subjects=["conv.>"],
    storage="file",
    retention="limits",
    replicated=True,
    description="Logs of all conversations: fenced commits by a single writer",
)
WORK: Final = StreamSpec(
    name="WORK",
    subjects=["work.>"],
    storage="memory",
    retention="workqueue",
    replicated=False,
    max_age_s=600.0,
    max_msgs=200_000,
    description="Turns waiting for an agent; can be lost without harm",
)
NOTICES: Final = StreamSpec(
    name="NOTICES",
    subjects=["notice.>", "receipt.>"],
    storage="file",
    retention="limits",
    replicated=True,
    max_age_s=30 * DAY_S,
    allow_msg_ttl=True,
    discard="old",
    description="Notices for agents and customers, and their receipts",
)
DEAD_LETTERS: Final = StreamSpec(
    name="DEAD_LETTERS",
    subjects=["dead.>"],
    storage="file",
    retention="limits",
    replicated=True,
    max_age_s=90 * DAY_S,
    discard="old",
    description="Messages that could not be handled, kept for inspection and replay",
)
VIEWS: Final = StreamSpec(
    name="VIEWS",
    subjects=["view.>"],
    storage="file",
    retention="limits",
    replicated=True,
    max_age_s=30 * DAY_S,
    description="Operators who read a conversation, for the archive",
)

ERASURES: Final = StreamSpec(
    name="ERASURES",
    subjects=["erasure.>"],
    storage="file",
    retention="limits",
    replicated=True,
    description="Destroyed keys of customers, kept for ever: none of them is used again",
)

HOLDS: Final = StreamSpec(
    name="HOLDS",
    subjects=["hold.>"],
    storage="file",
    retention="limits",
    replicated=True,
    description="Legal holds and their releases",
)

VIOLATIONS: Final = StreamSpec(
    name="VIOLATIONS",
    subjects=["violation.>"],
    storage="file",
    retention="limits",
    replicated=True,
    max_age_s=90 * DAY_S,
    max_msgs=1_000_000,
    discard="old",
    description="Refused passages of data between regions, for the archive",
)

HEADS: Final = StreamSpec(
    name="HEADS",
    subjects=["head.>"],
    storage="file",
    retention="limits",
    replicated=True,
    # No age: the last head of a quiet year still shows that nothing was removed behind it.
    max_msgs=100_000,
    discard="old",
    description="Signed heads of the records in PostgreSQL, which its owner cannot remove; some 500 bytes each",
)

STREAMS: Final = (INBOX, CONVERSATIONS, WORK, NOTICES, DEAD_LETTERS, VIEWS, ERASURES, HOLDS, HEADS, VIOLATIONS)

FLEET: Final = BucketSpec(name="FLEET", history=10, description="Agent definitions, versioned")
PRESENCE: Final = BucketSpec(name="PRESENCE", ttl_s=10.0, in_memory=True, description="Heartbeats of processes")
SNAPSHOTS: Final = BucketSpec(name="SNAPSHOTS", ttl_s=30 * DAY_S, description="Folded conversations")
ROUTING: Final = BucketSpec(name="ROUTING", history=5, description="Versioned routing artefacts")
SPENDING: Final = BucketSpec(name="SPENDING", ttl_s=3 * DAY_S, description="Spending on models per tenant and day")
KNOWLEDGE: Final = BucketSpec(name="KNOWLEDGE", description="Write lock and version of the knowledge base")
TOOLS: Final = BucketSpec(name="TOOLS", ttl_s=7 * DAY_S, description="Tool steps of turns, for retries")
TOOL_CALLS: Final = BucketSpec(
    name="TOOL_CALLS", ttl_s=2 * DAY_S, description="Tool calls per customer and day, for their limits"
)

DESK: Final = BucketSpec(name="DESK", ttl_s=30 * DAY_S, description="Escalations to people, per conversation")

CUSTOMERS: Final = BucketSpec(
    name="CUSTOMERS", ttl_s=30 * DAY_S, description="Known data about each customer, for all agents"
)

CLAIMS: Final = BucketSpec(
    name="CLAIMS", ttl_s=30.0, description="Work that one process at a time may do: the replacement of a lost stream"
)

CUSTOMER_KEYS: Final = BucketSpec(
    name="CUSTOMER_KEYS",
    history=3,
    is_erasable=True,
    description="Keys of customers' texts, encrypted by the wrapping key",
)

BUCKETS: Final = (
    FLEET,
    PRESENCE,
    SNAPSHOTS,
    ROUTING,
    SPENDING,
    KNOWLEDGE,
    TOOLS,
    TOOL_CALLS,
    DESK,
    CUSTOMERS,
    CUSTOMER_KEYS,
    CLAIMS,
)

FLEET_KEY: Final = "fleet"
"""Key of the served fleet in FLEET; its revisions are the fleet's versions."""
CANDIDATE_KEY: Final = "candidate"
"""Key of the last version that was rolled out by shares; its revisions are version numbers too."""
ROLLOUT_KEY: Final = "rollout"
"""Key of the state of the last roll-out."""
RELEASE_KEY: Final = "release"
"""Key of the served release's colour, and of the state of the last roll-out of a release."""

SLOT_GROUP: Final = "g"
"""The only priority group of a slot's consumer."""


def slot_consumer(region: str, slot: int) -> ConsumerSpec:
    """Return the consumer of a slot: in memory, pinned to one conversation process."""
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


def work_subject(specialty: str, lane: Lane, colour: QueueColour) -> str:
    """Return the subject of a work queue, with or without a colour."""
    return subjects.work_of_release(specialty, lane, colour) if colour else subjects.work(specialty, lane)


def work_consumer(specialty: str, lane: Lane, colour: QueueColour = "") -> ConsumerSpec:
    """Return the consumer of one lane of a specialty in one colour, shared by all its processes.

    Work is acknowledged on arrival: if no acknowledgement comes within `ack_wait_s`, the process is dead or stalled and
    the message is redelivered.
    """
    return ConsumerSpec(
        stream=WORK.name,
        name=f"agents-{specialty}-{lane}-{colour}" if colour else f"agents-{specialty}-{lane}",
        filter_subjects=[work_subject(specialty, lane, colour)],
        ack_wait_s=1.5,
        max_deliver=-1,
        max_ack_pending=10_000,
        in_memory=True,
    )


def audit_consumer(stream: StreamSpec) -> ConsumerSpec:
    """Return the audit service's consumer of a stream: all messages in order, redelivered without limit."""
    return ConsumerSpec(
        stream=stream.name,
        name="audit",
        filter_subjects=list(stream.subjects),
        ack_wait_s=30.0,
        max_deliver=-1,
        max_ack_pending=20_000,
        ack_all=True,
    )


AUDITED: Final = (INBOX, CONVERSATIONS, NOTICES, DEAD_LETTERS, VIEWS, ERASURES, HOLDS, VIOLATIONS)
