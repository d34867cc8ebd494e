"""Snapshot of a conversation's folded state in KV SNAPSHOTS; speeds up loading, the log stays authoritative."""

from __future__ import annotations

from trunkline_protocols.context import Utterance
from trunkline_protocols.escalation import Escalation
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.rollout import FleetDraw, ReleaseDraw
from trunkline_protocols.texts import StoredTexts, Text


class Snapshot(StoredTexts, frozen=True, kw_only=True, tag="snapshot"):
    """State after the commit at `sequence`; later commits are folded on top."""

    identity = ("conversation", "sequence")

    conversation: ConversationId
    sequence: int
    inbox_seq: int
    epoch: int
    hops: int
    owner: str
    agent: str
    customer: str
    tenant: str
    channel: str
    locale: str
    closed: bool
    turns: int
    frames: int
    ids: bytes
    summary: Text
    transcript: list[Utterance]
    note: Text = ""
    failures: int = 0
    desk_seq: int = 0
    last_message: str = ""
    escalation: Escalation | None = None
    replies: list[str] = []
    fleet_version: int = 0
    draw: FleetDraw | None = None
    colour: str = ""
    release_draw: ReleaseDraw | None = None
