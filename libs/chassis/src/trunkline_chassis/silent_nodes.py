"""Nodes of a cluster that a Raft leader does not hear from, read from its description of a stream. Pure.

The leader of a replicated stream exchanges heartbeats with its peers every second, even if there are no messages. A
node that is only short of CPU answers them late; one that is gone, frozen or cut off does not answer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from trunkline_protocols.decoding import convert

_NS: Final = 1_000_000_000
_SILENCE_TIMEOUT_S: Final = 5.0
"""Without an answer to heartbeats; several times the delay of a node that waits for a processor."""
_NEW_LEADER_TIMEOUT_S: Final = 2.0
"""The same for a node that a new leader has never heard from: its election took at least four seconds before."""


class _Peer(msgspec.Struct):
    name: str = ""
    current: bool = False
    offline: bool = False
    active: int = 0
    """Nanoseconds since the last answer; 0 if the leader has had none since its election."""


class _Cluster(msgspec.Struct):
    leader_since: datetime | None = None
    replicas: list[_Peer] | None = None


class _StreamInfo(msgspec.Struct):
    ts: datetime | None = None
    cluster: _Cluster | None = None


def silent_nodes(info: dict[str, Any]) -> list[str]:
    """Return the names of the nodes that do not answer the leader of a stream, given its reply to STREAM.INFO.

    Empty if the leader hears from less than a majority, itself included: then it may be cut off itself.
    """
    described = convert(info, _StreamInfo)
    peers = (described.cluster.replicas if described.cluster is not None else None) or []
    tenure_s = _tenure_s(described)
    silent = [peer.name for peer in peers if peer.offline or _is_silent(peer, tenure_s)]
    heard = 1 + len(peers) - len(silent)
    return silent if 2 * heard > 1 + len(peers) else []


def _is_silent(peer: _Peer, tenure_s: float) -> bool:
    if peer.active:
        return peer.active >= _SILENCE_TIMEOUT_S * _NS
    return not peer.current and tenure_s >= _NEW_LEADER_TIMEOUT_S


def _tenure_s(described: _StreamInfo) -> float:
    """Return for how long the leader has led, 0 if unknown; both stamps are of the leader's clock."""
    if described.ts is None or described.cluster is None or described.cluster.leader_since is None:
        return 0.0
    return (described.ts - described.cluster.leader_since).total_seconds()
