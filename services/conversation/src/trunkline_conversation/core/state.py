"""State of a conversation: the fold of its commits."""

from __future__ import annotations

from functools import reduce
from typing import Final, assert_never

import msgspec
from trunkline_protocols.context import Context, Utterance
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.escalation import Escalation
from trunkline_protocols.fleet import ESCALATION, Fleet
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import (
    Breached,
    Claimed,
    Closed,
    Commit,
    Consulted,
    CustomerMessageEvent,
    CustomerReplied,
    Escalated,
    Event,
    HandedBack,
    HandedOff,
    LeftQueue,
    NoteAdded,
    OwnerAssigned,
    PersonReplied,
    Started,
    ToolUsed,
    TurnAnswered,
)
from trunkline_protocols.rollout import FleetDraw, ReleaseDraw
from trunkline_protocols.rules.facts import allowed_claims, current_facts, excluded_topics
from trunkline_protocols.rules.frames import frames_in
from trunkline_protocols.rules.message_id_filter import with_id
from trunkline_protocols.snapshot import Snapshot

from trunkline_conversation.core.summary import append_to_summary

MAX_TRANSCRIPT_UTTERANCES: Final = 24
MAX_TRANSCRIPT_CHARACTERS: Final = 16_000
MAX_UTTERANCE_CHARACTERS: Final = 8_000
"""Bounds of the verbatim transcript that is held in memory and sent to agents; the full text stays in the log."""
MAX_REPLY_IDS: Final = 16
"""Number of ids of desk replies that are kept to detect repeats."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """State of one conversation."""

    id: ConversationId
    region: str
    sequence: int = 0
    """Stream sequence of the last commit, used as the fence; 0 if the log is empty."""
    inbox_seq: int = 0
    """Inbox sequence of the last settled message."""
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
    """Number of durable frames of all commits so far."""
    ids: bytes = b""
    """Filter over the ids of the committed customer messages, see `rules.message_id_filter`."""
    summary: str = ""
    """Bounded summary of the utterances before the transcript."""
    transcript: list[Utterance] = []
    note: str = ""
    """Note of the previous owner, an agent or a person, for the next one."""
    failures: int = 0
    """Consecutive answers in which the agent abstained."""
    desk_seq: int = 0
    """Inbox sequence of the last applied desk command."""
    last_message: str = ""
    """Id of the customer's last message to a person at the desk, empty once it is answered."""
    escalation: Escalation | None = None
    key: str = ""
    """Id of the key that the customer's texts are stored with; empty: in clear."""
    replies: list[str] = []
    """Ids of the latest desk replies and notes: a desk that received no outcome sends the same one again."""
    fleet_version: int = 0
    """Fleet version of the last commit, and of the message that is being processed."""
    draw: FleetDraw | None = None
    """Draw between two versions, if the conversation began in a roll-out."""
    colour: str = ""
    """Colour of the last commit, and of the message that is being processed."""
    release_draw: ReleaseDraw | None = None
    """Draw between two releases, if the conversation began in their roll-out."""

    @property
    def started(self) -> bool:
        """Return whether the log holds a commit."""
        return self.sequence > 0

    @property
    def with_person(self) -> str:
        """Person at the desk that holds the conversation, empty if the fleet holds it."""
        return self.escalation.claimed_by if self.escalation is not None else ""


def evolve(state: Conversation, commit: Commit, sequence: int) -> Conversation:
    """Fold one commit, stored at `sequence`, into the state."""
    if commit.previous and not state.started:
        state = _before_marker(state, commit)
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
        key="" if commit.erased else commit.key or state.key,
        fleet_version=commit.fleet_version or state.fleet_version,
        draw=commit.draw or state.draw,
        colour=commit.colour,
        release_draw=commit.release_draw or state.release_draw,
    )


def _before_marker(state: Conversation, commit: Commit) -> Conversation:
    """Return the state before the first commit that is left of an archived log (ADR 0036).

    It suffices for late messages: the conversation is closed, and frame numbers and message ids continue.
    """
    return msgspec.structs.replace(
        state,
        customer=commit.customer,
        tenant=commit.tenant,
        closed=commit.ended_before,
        frames=commit.frames_before,
        ids=commit.ids_before,
    )


def _apply(state: Conversation, event: Event) -> Conversation:
    match event:
        case Started(customer=customer, tenant=tenant, channel=channel, locale=locale):
            return msgspec.structs.replace(state, customer=customer, tenant=tenant, channel=channel, locale=locale)
        case OwnerAssigned(to=to, agent=agent):
            return msgspec.structs.replace(state, owner=to, agent=agent)
        case TurnAnswered():
            answered = _with_utterances(state, Utterance(role="customer", text=event.text), _utterance_of(event))
            return msgspec.structs.replace(
                answered,
                turns=state.turns + 1,
                hops=0,
                failures=state.failures + 1 if event.abstained else 0,
                escalation=_after_answer(state.escalation, event),
            )
        case CustomerReplied(message_id=message_id, text=text):
            shown = _with_utterances(state, Utterance(role="customer", text=text))
            return msgspec.structs.replace(shown, turns=state.turns + 1, last_message=message_id)
        case PersonReplied() | NoteAdded():
            return _apply_text_of_person(state, event)
        case HandedOff(to=to, agent=agent, summary=note):
            return msgspec.structs.replace(state, owner=to, agent=agent, note=note, hops=state.hops + 1)
        case Escalated() | Breached() | LeftQueue() | Claimed() | HandedBack():
            return _apply_escalation(state, event)
        case Consulted() | ToolUsed():
            return state
        case Closed():
            return msgspec.structs.replace(state, closed=True, escalation=None)
        case _:
            assert_never(event)


def _apply_text_of_person(state: Conversation, event: PersonReplied | NoteAdded) -> Conversation:
    match event:
        case PersonReplied(reply_id=reply_id, text=text, due_at=due_at):
            replied = _with_utterances(state, Utterance(role="person", text=text))
            escalation = state.escalation and msgspec.structs.replace(state.escalation, due_at=due_at)
            known = msgspec.structs.replace(replied, last_message="", failures=0, escalation=escalation)
        case NoteAdded(note_id=reply_id):
            # Only the id: the text must not reach an agent.
            known = state
        case _:
            assert_never(event)
    return msgspec.structs.replace(known, replies=[*state.replies[1 - MAX_REPLY_IDS :], reply_id])


def _apply_escalation(
    state: Conversation, event: Escalated | Breached | LeftQueue | Claimed | HandedBack
) -> Conversation:
    current = state.escalation
    match event:
        case Escalated(summary=note):
            return msgspec.structs.replace(
                state,
                owner=ESCALATION,
                agent="",
                note=note,
                hops=state.hops + 1,
                escalation=_escalation_of(state, event),
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


def _utterance_of(event: TurnAnswered) -> Utterance:
    documents = list(dict.fromkeys(citation.document for citation in event.citations))
    return Utterance(role="agent", text=event.answer, specialty=event.specialty, documents=documents)


def _escalation_of(state: Conversation, event: Escalated) -> Escalation:
    """Return the escalation that an event starts, or moves to another level or urgency."""
    current = state.escalation
    return Escalation(
        level=event.level,
        urgency=event.urgency,
        reason=event.reason,
        summary=event.summary,
        since=event.since,
        due_at=event.due_at,
        say=event.say,
        from_=current.from_ if current is not None else event.from_,
    )


def _after_answer(escalation: Escalation | None, event: TurnAnswered) -> Escalation | None:
    """Return the escalation after an answer: an answer by senior agents ends it, a wait for a person continues."""
    if escalation is None or escalation.level == "person":
        return escalation
    return escalation if event.abstained or event.specialty != ESCALATION else None


def _with_utterances(state: Conversation, *added: Utterance) -> Conversation:
    """Append to the transcript and move the oldest utterances into the summary if it exceeds its bounds."""
    transcript = [*state.transcript, *map(_truncated, added)]
    summary = state.summary
    while len(transcript) > MAX_TRANSCRIPT_UTTERANCES or (
        len(transcript) > len(added)
        and sum(len(utterance.text) for utterance in transcript) > MAX_TRANSCRIPT_CHARACTERS
    ):
        summary = append_to_summary(summary, transcript.pop(0))
    return msgspec.structs.replace(state, transcript=transcript, summary=summary)


def _truncated(utterance: Utterance) -> Utterance:
    """Truncate a very long utterance: every later turn carries it along."""
    if len(utterance.text) <= MAX_UTTERANCE_CHARACTERS:
        return utterance
    return msgspec.structs.replace(utterance, text=f"{utterance.text[: MAX_UTTERANCE_CHARACTERS - 1]}…")


def context_of(state: Conversation, message: TurnReceived, known: CustomerKnown, fleet: Fleet) -> Context:
    """Return the context for an agent, with what is `known` about the customer and the fleet still declares.

    Customer data comes from the message, because a new conversation has no commit yet; the ingress fills it from the
    customer's verified identity.
    """
    context = Context(
        tenant=message.tenant,
        region=state.region,
        locale=message.locale,
        transcript=state.transcript,
        summary=state.summary,
        note=state.note,
        customer=message.customer,
        tier=message.tier,
        facts=current_facts(fleet, known),
        claims=allowed_claims(fleet, known) if message.verified else {},
        earlier=known.earlier if known.conversation != state.id else [],
        channel=message.channel,
        verified=message.verified,
    )
    if not fleet.customers.topics:
        return context
    return msgspec.structs.replace(context, excluded_topics=excluded_topics(fleet, context))


def to_snapshot(state: Conversation) -> Snapshot:
    """Convert a state to a snapshot for KV SNAPSHOTS."""
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
        key=state.key,
        fleet_version=state.fleet_version,
        draw=state.draw,
        colour=state.colour,
        release_draw=state.release_draw,
    )


def from_snapshot(snapshot: Snapshot, region: str) -> Conversation:
    """Restore a state from a snapshot; the caller folds commits after `snapshot.sequence` on top."""
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
        key=snapshot.key,
        fleet_version=snapshot.fleet_version,
        draw=snapshot.draw,
        colour=snapshot.colour,
        release_draw=snapshot.release_draw,
    )
