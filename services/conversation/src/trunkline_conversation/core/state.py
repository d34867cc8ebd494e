"""A conversation's state: the fold of its commits."""

from __future__ import annotations

from functools import reduce
from typing import Final, assert_never

import msgspec
from trunkline_protocols.context import Context, Utterance
from trunkline_protocols.escalation import Escalation
from trunkline_protocols.fleet import ESCALATION
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import (
    Breached,
    Claimed,
    Closed,
    Commit,
    Consulted,
    CustomerMessageEvent,
    CustomerSaid,
    Escalated,
    Event,
    HandedBack,
    HandedOff,
    LeftQueue,
    OwnerAssigned,
    PersonReplied,
    Started,
    ToolUsed,
    TurnAnswered,
)
from trunkline_protocols.rules.frames import frames_in
from trunkline_protocols.rules.message_id_filter import with_id
from trunkline_protocols.snapshot import Snapshot

from trunkline_conversation.core.summary import summarised

RECENT_UTTERANCES: Final = 24
RECENT_CHARACTERS: Final = 16_000
LONGEST_UTTERANCE: Final = 8_000
"""How much of the transcript stays verbatim in memory and goes to agents; the full text stays in the log."""
REPLIES: Final = 16
"""So many ids of the desk's replies are remembered."""


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
    frames: int = 0
    """Durable frames that belong to the commits so far."""
    ids: bytes = b""
    """Filter of the ids of the messages in them, see `seen`."""
    summary: str = ""
    """What was said before the transcript begins."""
    transcript: list[Utterance] = []
    note: str = ""
    """What the agent or the person that had the conversation before wrote for the next one."""
    failures: int = 0
    """Answers in a row that were none."""
    desk_seq: int = 0
    """Orders of the desk up to here are carried out."""
    last_message: str = ""
    """Id of the customer's last message that only a person has seen, empty when it is answered."""
    escalation: Escalation | None = None
    replies: list[str] = []
    """Ids of what people at the desk wrote last: the same reply may be ordered again by who did not hear of it."""

    @property
    def started(self) -> bool:
        """Whether anything is committed."""
        return self.sequence > 0

    @property
    def with_person(self) -> str:
        """The person who has the conversation now, empty when the fleet has it."""
        return self.escalation.claimed_by if self.escalation is not None else ""


def evolve(state: Conversation, commit: Commit, sequence: int) -> Conversation:
    """Fold one commit, stored at `sequence`, into the state."""
    folded = reduce(_apply, commit.events, state)
    return msgspec.structs.replace(
        folded,
        sequence=sequence,
        frames=state.frames + frames_in(commit.events),
        ids=reduce(
            with_id, (event.message_id for event in commit.events if isinstance(event, CustomerMessageEvent)), state.ids
        ),
        epoch=commit.epoch,
        owner=commit.owner,
        agent=commit.agent,
        inbox_seq=max(state.inbox_seq, commit.inbox_seq) if commit.settles else state.inbox_seq,
        desk_seq=max(state.desk_seq, commit.desk_seq),
    )


def _apply(state: Conversation, event: Event) -> Conversation:
    match event:
        case Started(customer=customer, tenant=tenant, channel=channel, locale=locale):
            return msgspec.structs.replace(state, customer=customer, tenant=tenant, channel=channel, locale=locale)
        case OwnerAssigned(to=to, agent=agent):
            return msgspec.structs.replace(state, owner=to, agent=agent)
        case TurnAnswered():
            answered = _said(state, Utterance(role="customer", text=event.customer_text), _words_of(event))
            return msgspec.structs.replace(
                answered,
                turns=state.turns + 1,
                hops=0,
                failures=state.failures + 1 if event.abstained else 0,
                escalation=_settled(state.escalation, event),
            )
        case CustomerSaid(message_id=message_id, text=text):
            heard = _said(state, Utterance(role="customer", text=text))
            return msgspec.structs.replace(heard, turns=state.turns + 1, last_message=message_id)
        case PersonReplied(reply_id=reply_id, person=person, text=text, due_at=due_at):
            replied = _said(state, Utterance(role="person", text=text, agent=person))
            escalation = state.escalation and msgspec.structs.replace(state.escalation, due_at=due_at)
            replies = [*state.replies[1 - REPLIES :], reply_id]
            return msgspec.structs.replace(replied, last_message="", failures=0, escalation=escalation, replies=replies)
        case HandedOff(to=to, agent=agent, summary=note):
            return msgspec.structs.replace(state, owner=to, agent=agent, note=note, hops=state.hops + 1)
        case Escalated() | Breached() | LeftQueue() | Claimed() | HandedBack():
            return _escalated(state, event)
        case Consulted() | ToolUsed():
            return state
        case Closed():
            return msgspec.structs.replace(state, closed=True, escalation=None)
        case _:
            assert_never(event)


def _escalated(state: Conversation, event: Escalated | Breached | LeftQueue | Claimed | HandedBack) -> Conversation:
    current = state.escalation
    match event:
        case Escalated(summary=note):
            return msgspec.structs.replace(
                state, owner=ESCALATION, agent="", note=note, hops=state.hops + 1, escalation=_begun(state, event)
            )
        case LeftQueue():
            return msgspec.structs.replace(state, escalation=None)
        case HandedBack(note=note):
            return msgspec.structs.replace(state, escalation=None, note=note, last_message="", failures=0)
        case Breached(urgency=urgency, due_at=due_at) if current is not None:
            changes = {"urgency": urgency, "due_at": due_at, "claimed_by": "", "breaches": current.breaches + 1}
        case Claimed(person=person, due_at=due_at) if current is not None:
            changes = {"claimed_by": person, "due_at": due_at}
        case _:
            return state
    return msgspec.structs.replace(state, escalation=msgspec.structs.replace(current, **changes))


def _words_of(event: TurnAnswered) -> Utterance:
    return Utterance(role="agent", text=event.text, specialty=event.specialty, agent=event.agent)


def _begun(state: Conversation, event: Escalated) -> Escalation:
    """Return the escalation that an event begins, or moves to another level or urgency."""
    current = state.escalation
    return Escalation(
        level=event.level,
        urgency=event.urgency,
        reason=event.reason,
        summary=event.summary,
        since=event.since,
        due_at=event.due_at,
        from_=current.from_ if current is not None else event.from_,
    )


def _settled(escalation: Escalation | None, event: TurnAnswered) -> Escalation | None:
    """Senior agents settle an escalation by answering; one that waits for a person goes on waiting."""
    if escalation is None or escalation.level == "person":
        return escalation
    return escalation if event.abstained or event.specialty != ESCALATION else None


def _said(state: Conversation, *said: Utterance) -> Conversation:
    """Add to the transcript; what no longer fits moves into the summary, the oldest first."""
    transcript = [*state.transcript, *map(_bounded, said)]
    summary = state.summary
    while len(transcript) > RECENT_UTTERANCES or (
        len(transcript) > len(said) and sum(len(utterance.text) for utterance in transcript) > RECENT_CHARACTERS
    ):
        summary = summarised(summary, transcript.pop(0))
    return msgspec.structs.replace(state, transcript=transcript, summary=summary)


def _bounded(said: Utterance) -> Utterance:
    """Keep the beginning of what is very long: every later turn carries it along."""
    if len(said.text) <= LONGEST_UTTERANCE:
        return said
    return msgspec.structs.replace(said, text=f"{said.text[: LONGEST_UTTERANCE - 1]}…")


def context_of(state: Conversation, message: TurnReceived) -> Context:
    """What an agent is told about the conversation; who the customer is, the message says (a new one has no commit)."""
    return Context(
        customer=message.customer,
        tenant=message.tenant,
        region=state.region,
        locale=message.locale,
        transcript=state.transcript,
        summary=state.summary,
        note=state.note,
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
        frames=state.frames,
        ids=state.ids,
        summary=state.summary,
        transcript=state.transcript,
        note=state.note,
        failures=state.failures,
        desk_seq=state.desk_seq,
        last_message=state.last_message,
        escalation=state.escalation,
        replies=state.replies,
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
        frames=snapshot.frames,
        ids=snapshot.ids,
        summary=snapshot.summary,
        transcript=snapshot.transcript,
        note=snapshot.note,
        failures=snapshot.failures,
        desk_seq=snapshot.desk_seq,
        last_message=snapshot.last_message,
        escalation=snapshot.escalation,
        replies=snapshot.replies,
    )
