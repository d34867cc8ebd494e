"""Status messages of processes: presence and the supervision tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from trunkline_protocols.wire import Record, Wire

ProcessState = Literal["starting", "ready", "standby", "draining", "stopped", "restarting", "failed"]
HEALTHY_STATES: Final = frozenset({"ready", "standby"})
"""A process on standby serves only if the one that serves is lost."""


SUPERVISOR: Final = "supervisor"
"""Service name of supervisors, which a suite of containers or of systemd units does without."""

HEARTBEAT_TIMEOUT_S: Final = 3.5
"""A process counts as alive for this long after its last heartbeat."""


class Presence(Wire, frozen=True, kw_only=True, tag="presence"):
    """Heartbeat of a process in KV PRESENCE, keyed by instance."""

    service: str
    instance: str
    pid: int
    state: ProcessState
    version: str
    node: str
    started_at: float
    at: float
    http_url: str = ""
    queue_depth: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    detail: dict[str, str] = {}
    """Further status by subject, for example `primary/small` -> `open`."""
    slots: list[int] = []
    """Inbox slots that a conversation process owns."""
    finishing: list[str] = []
    """Conversations whose in-flight turn is finished here although their slot has moved."""
    specialties: list[str] = []
    """Specialties that an agents process serves."""
    fleet_version: int = 0
    candidate_version: int = 0
    """Loaded candidate of a roll-out, 0 without one."""
    colour: str = ""
    """Release that an agents process belongs to, empty without roll-outs of releases."""
    release_rollout: int = 0
    """Number of the last roll-out of a release that the process knows, 0 if it knows none."""
    attached: list[str] | None = None
    """Escalated conversations whose socket an ingress holds; None if it does not report them."""
    outside: int | None = None
    """Calls at model providers, or at tools, now; None if the process does not report them."""
    work_age_s: float = 0.0
    """Age of the oldest work that waits for a permit of the process."""
    turns: int = 0
    """Accepted turns of an ingress without an answer."""
    is_refusing: bool = False
    """If true, an ingress refuses turns because the suite answers as fast as it can."""


@dataclass(frozen=True, slots=True)
class LastHeartbeat:
    """The last presence of a process and its age in seconds."""

    presence: Presence
    age_s: float


class GetStatus(Wire, frozen=True, kw_only=True, tag="status.get"):
    """Query: the processes of a node, to its supervisor."""


class ProcessStatus(Record, frozen=True, kw_only=True):
    """Status of one process."""

    name: str
    """Position in its pool, such as `conversation-1`; unique on its node only."""
    service: str
    instance: str
    """Unique in the cluster: with an external NATS it carries the node."""
    pid: int
    state: ProcessState
    restarts: int
    version: str = ""
    queue_depth: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    detail: dict[str, str] = {}
    node: str = ""


class SuiteStatus(Wire, frozen=True, kw_only=True, tag="status"):
    """Reply to `GetStatus`, and the status of all nodes."""

    ready: bool
    processes: list[ProcessStatus]
    missing: list[str] = []
    """Services of which no process is ready on any node."""
