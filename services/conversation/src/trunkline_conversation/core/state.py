"""A conversation's state: the fold of its commits."""

from __future__ import annotations

from functools import reduce
from typing import Final, assert_never

import msgspec
from trunkline_protocols.fleet import ESCALATION
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import (
    Closed,
    Commit,
    Consulted,
    Escalated,
    Event,
    HandedOff,
    OwnerAssigned,
    Started,
    TurnAnswered,
)
from trunkline_protocols.snapshot import Snapshot
from trunkline_protocols.turn import Context, TurnReceived, Utterance

RECENT_UTTERANCES: Final = 24
"""How much of the transcript stays in memory and goes to agents; the full text stays in the log."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet knows about one conversation."""

    id: ConversationId
    region: str
    sequence: int = 0
    """Stream sequence of the last commit: the fence. 0: nothing is committed yet."""
    inbox_seq: int = 0
    """Everything in the inbox up to here is answered."""
    epoch: int = 0
    hops: int = 0
    """Ownership changes since the last answer; committed, so that a crash does not reset the limit."""
    owner: str = ""
    agent: str = ""
    customer: str = ""
    tenant: str = ""
    channel: str = ""
    locale: str = ""
    closed: bool = False
    turns: int = 0
    summary: str = ""
    transcript: list[Utterance] = []

    @property
    def started(self) -> bool:
        """Whether anything is committed."""
        return self.sequence > 0


def evolve(state: Conversation, commit: Commit, sequence: int) -> Conversation:
    """Fold one commit, stored at `sequence`, into the state."""
    folded = reduce(_apply, commit.events, state)
    answers = commit.kind in {"turn", "closed"}
    return msgspec.structs.replace(
        folded,
        sequence=sequence,
        epoch=commit.epoch,
        owner=commit.owner,
        agent=commit.agent,
        inbox_seq=max(state.inbox_seq, commit.inbox_seq) if answers else state.inbox_seq,
    )


def _apply(state: Conversation, event: Event) -> Conversation:
    match event:
        case Started(customer=customer, tenant=tenant, channel=channel, locale=locale):
            return msgspec.structs.replace(state, customer=customer, tenant=tenant, channel=channel, locale=locale)
        case OwnerAssigned(to=to, agent=agent):
            return msgspec.structs.replace(state, owner=to, agent=agent)
        case TurnAnswered():
            said = [
                Utterance(role="customer", text=event.customer_text),
                Utterance(role="agent", text=event.text, specialty=event.specialty, agent=event.agent),
            ]
            transcript = [*state.transcript, *said][-RECENT_UTTERANCES:]
            return msgspec.structs.replace(state, transcript=transcript, turns=state.turns + 1, hops=0)
        case HandedOff(to=to, agent=agent, summary=summary):
            return msgspec.structs.replace(state, owner=to, agent=agent, summary=summary, hops=state.hops + 1)
        case Escalated(summary=summary):
            return msgspec.structs.replace(state, owner=ESCALATION, agent="", summary=summary, hops=state.hops + 1)
        case Consulted():
            return state
        case Closed():
            return msgspec.structs.replace(state, closed=True)
        case _:
            assert_never(event)


def context_of(state: Conversation, message: TurnReceived) -> Context:
    """What an agent is told about the conversation; who the customer is, the message says (a new one has no commit)."""
    return Context(
        customer=message.customer,
        tenant=message.tenant,
        region=state.region,
        locale=message.locale,
        transcript=state.transcript,
        summary=state.summary,
    )


def to_snapshot(state: Conversation) -> Snapshot:
    """Freeze a state for KV SNAPSHOTS."""
    return Snapshot(
        conversation=state.id,
        sequence=state.sequence,
        inbox_seq=state.inbox_seq,
        epoch=state.epoch,
        hops=state.hops,
        owner=state.owner,
        agent=state.agent,
        customer=state.customer,
        tenant=state.tenant,
        channel=state.channel,
        locale=state.locale,
        closed=state.closed,
        turns=state.turns,
        summary=state.summary,
        transcript=state.transcript,
    )


def from_snapshot(snapshot: Snapshot, region: str) -> Conversation:
    """Thaw a snapshot; commits after `snapshot.sequence` are folded on top."""
    return Conversation(
        id=snapshot.conversation,
        region=region,
        sequence=snapshot.sequence,
        inbox_seq=snapshot.inbox_seq,
        epoch=snapshot.epoch,
        hops=snapshot.hops,
        owner=snapshot.owner,
        agent=snapshot.agent,
        customer=snapshot.customer,
        tenant=snapshot.tenant,
        channel=snapshot.channel,
        locale=snapshot.locale,
        closed=snapshot.closed,
        turns=snapshot.turns,
        summary=snapshot.summary,
        transcript=snapshot.transcript,
    )
