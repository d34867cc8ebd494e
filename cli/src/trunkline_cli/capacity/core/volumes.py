"""Bytes of a turn on disk and on the network, measured by bench/volumes.py: bench/README.md, Volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trunkline_cli.capacity.core.workload import Workload

INBOX_BYTES: Final = 562.0
LOG_BYTES: Final = 3_726.0
ARCHIVE_BYTES: Final = 6_636.0
"""PostgreSQL with its indexes."""
NATS_BYTES: Final = 31_050.0
"""Sent by the NATS server to all processes."""
SOCKET_BYTES: Final = 1_879.0
"""Sent to the customer: deltas and the answer."""
SNAPSHOT_BYTES: Final = 8_192.0
"""Of a conversation, as much as its state takes in memory; a snapshot itself was not measured."""
INBOX_DAYS: Final = 7.0
"""Age at which the inbox drops a message, its default."""

_GIB: Final = 2.0**30
_DAY_S: Final = 86_400.0
_MONTH_S: Final = 30.44 * _DAY_S
_ROOM: Final = 1.3
"""Blocks of a stream that are not full, indexes, and the room that a compaction needs."""


def streams_gib(workload: Workload) -> float:
    """Return one copy of inbox, log and snapshots."""
    inbox = INBOX_BYTES * min(workload.retention_days, INBOX_DAYS)
    per_turn_and_day = inbox + LOG_BYTES * workload.retention_days
    snapshots = SNAPSHOT_BYTES * workload.conversations
    return (workload.mean_turns_per_s * _DAY_S * per_turn_and_day + snapshots) * _ROOM / _GIB


def archive_gib(workload: Workload) -> float:
    """Return one copy of the archive, which is not divided over nodes."""
    turns = workload.mean_turns_per_s * _DAY_S * workload.retention_days
    return turns * ARCHIVE_BYTES * _ROOM / _GIB


def network_mbit_per_s(workload: Workload) -> float:
    """Return the traffic of all nodes at the peak: messages of NATS, copies of appends, frames to customers."""
    copies = (INBOX_BYTES + LOG_BYTES + ARCHIVE_BYTES) * (workload.replicas - 1)
    return workload.turns_per_s * (NATS_BYTES + copies + SOCKET_BYTES) * 8 / 1e6


def egress_gib_per_month(workload: Workload) -> float:
    """Return the traffic to customers."""
    return workload.mean_turns_per_s * SOCKET_BYTES * _MONTH_S / _GIB
