"""What processes say of themselves: presence, the supervision tree, dead letters."""

from __future__ import annotations

from typing import Literal

from trunkline_protocols.wire import Record, Wire

ProcessState = Literal["starting", "ready", "draining", "stopped", "restarting", "failed"]


class Presence(Wire, frozen=True, kw_only=True, tag="presence"):
    """A process' heartbeat in KV PRESENCE, under its instance's name."""

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
    """What else is worth knowing at a glance, by what it is about: `primary/small` -> `open`."""
    slots: list[int] = []
    """Slots of the inbox that a conversation process holds."""
    finishing: list[str] = []
    """Conversations whose turn under way it still finishes, although their slot is not its own any more."""
    specialties: list[str] = []
    """What an agents process answers for."""
    fleet_version: int = 0


class GetStatus(Wire, frozen=True, kw_only=True, tag="status.get"):
    """Query: the supervision tree."""


class ProcessStatus(Record, frozen=True, kw_only=True):
    """One line of the supervision tree."""

    name: str
    service: str
    instance: str
    pid: int
    state: ProcessState
    restarts: int
    version: str = ""
    queue_depth: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    detail: dict[str, str] = {}


class SuiteStatus(Wire, frozen=True, kw_only=True, tag="status"):
    """Reply to `GetStatus`."""

    ready: bool
    processes: list[ProcessStatus]


class DeadLetter(Wire, frozen=True, kw_only=True, tag="dead_letter"):
    """A message that could not be handled, kept to be read and replayed."""

    stream: str
    consumer: str
    subject: str
    sequence: int
    deliveries: int
    reason: str
    payload: str
    """The message as it was; bytes that are not UTF-8 are replaced."""
    at: float
