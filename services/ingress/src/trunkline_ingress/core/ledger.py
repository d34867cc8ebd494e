"""Numbering of a conversation's durable frames, identical on every ingress and after every crash.

`started` is 1. The ingress gives `accepted` the next free number and stores it in the inbox message. All other frames
derive from commits and take the remaining numbers in log order: the k-th frame of the log has the k-th number, from 2
on, that no accepted message has. So the numbers follow from the two streams alone (ADR 0003).

They also follow from the end of the log (ADR 0018). Each commit counts the numbers that belong to earlier commits and
to the messages settled by them. An accepted message has a lower number than every frame of the commit that settles it
and of later commits, and numbers have no gaps. If n numbers precede the last commits, these are the n lowest numbers
that belong to none of the messages settled in the last commits or still unsettled; the frames of the last commits take
the next ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias, assert_never

import msgspec
from trunkline_protocols.fleet import ESCALATION, TRIAGE
from trunkline_protocols.frames import (
    AcceptedFrame,
    ClosedFrame,
    ConsultedPart,
    DurableFrame,
    EscalatedFrame,
    HandoffFrame,
    MessageFrame,
)
from trunkline_protocols.inbox import InboxMessage, TurnReceived
from trunkline_protocols.log import (
    Breached,
    Claimed,
    Closed,
    Commit,
    CommitStored,
    Consulted,
    CustomerMessageEvent,
    Escalated,
    HandedBack,
    HandedOff,
    LeftQueue,
    PersonReplied,
    TurnAnswered,
    VisibleEvent,
)
from trunkline_protocols.rules.message_id_filter import may_contain

CommitFrame: TypeAlias = MessageFrame | HandoffFrame | EscalatedFrame | ClosedFrame

STARTED_SEQ: Final = 1
PERSON: Final = "person"
"""Value of `specialty` in frames from a person at the desk."""


class Ledger:
    """State of one conversation that the numbering of its frames needs."""

    def __init__(self) -> None:
        """Start with the frame `started` only."""
        self.last_seq = STARTED_SEQ
        """Last number assigned."""
        self.last_commit = 0
        """Log sequence of the last numbered commit."""
        self.last_inbox = 0
        """Inbox sequence of the last stored message."""
        self.accepted: dict[str, int] = {}
        """Numbers of accepted messages by client id, without the messages in `_unread_ids`."""
        self._unread_ids = b""
        """Bloom filter of the message ids in unread commits, see `message_id_filter`."""
        self.unanswered: dict[str, int] = {}
        """Inbox sequences of unanswered messages by client id."""
        self.closed = False
        self.text_key = ""
        """Id of the key of the texts in the commits; empty if they are in clear."""
        self.is_erased = False
        """True if the conversation has ended because its texts are erased."""

    @property
    def next_seq(self) -> int:
        """Number of the next frame."""
        return self.last_seq + 1

    def accept(self, message_id: str, inbox_seq: int) -> AcceptedFrame:
        """Assign the next number to a message just stored at `inbox_seq`."""
        self.last_seq += 1
        self.last_inbox = inbox_seq
        self.accepted[message_id] = self.last_seq
        self.unanswered[message_id] = inbox_seq
        return AcceptedFrame(id=message_id, seq=self.last_seq)

    def apply_commit(self, stored: CommitStored) -> list[DurableFrame]:
        """Apply the next commit and return its frames, numbered."""
        frames: list[DurableFrame] = []
        for frame in frames_of(stored.commit, self.last_seq + 1):
            frames.append(frame)
            self.last_seq = frame.seq
        self._apply_events(stored)
        return frames

    def _apply_events(self, stored: CommitStored) -> None:
        self.last_commit = stored.sequence
        self.text_key = stored.commit.key or self.text_key
        self.is_erased = self.is_erased or stored.commit.erased
        for event in stored.commit.events:
            if isinstance(event, CustomerMessageEvent):
                self.unanswered.pop(event.message_id, None)
            elif isinstance(event, Closed):
                self.closed = True

    def is_uncertain(self, message_id: str) -> bool:
        """Return whether an unread commit may settle this message; `add_history` resolves it."""
        return message_id not in self.accepted and may_contain(self._unread_ids, message_id)

    def add_history(self, commits: Iterable[CommitStored]) -> None:
        """Add the accepted messages of the whole log."""
        for message_id, number in _accepted_in(commits):
            self.accepted.setdefault(message_id, number)
        self._unread_ids = b""

    @classmethod
    def replay(
        cls, commits: Sequence[CommitStored], unsettled: Sequence[tuple[int, InboxMessage]], *, end: int
    ) -> tuple[Ledger, list[DurableFrame]]:
        """Rebuild from the last commits of the log and the messages that are not settled yet, with their sequences.

        At least one of the commits settles a message, unless they are the whole log. `end` is the sequence of the last
        message in the inbox. Returns the ledger and all frames above `last_seq_before`, plus `accepted` frames below.
        """
        ledger = cls()
        if commits:
            ledger._unread_ids = commits[0].commit.ids_before
            ledger.closed = commits[0].commit.ended_before
        ledger.accepted = dict(_accepted_in(commits))
        ledger.last_inbox = max([end, *(inbox_seq for inbox_seq, _ in unsettled)])
        for inbox_seq, message in unsettled:
            if isinstance(message, TurnReceived) and message.message_id not in ledger.accepted:
                ledger.accepted[message.message_id] = message.seq
                ledger.unanswered[message.message_id] = inbox_seq
        frames: list[DurableFrame] = [AcceptedFrame(id=id_, seq=number) for id_, number in ledger.accepted.items()]
        assigned = set(ledger.accepted.values())
        ledger.last_seq = last = last_seq_before(commits, unsettled)
        for stored in commits:
            for frame in frames_of(stored.commit, 0):
                last += 1
                while last in assigned:
                    last += 1
                frames.append(msgspec.structs.replace(frame, seq=last))
            ledger._apply_events(stored)
        frames.sort(key=lambda frame: frame.seq)
        if frames:
            ledger.last_seq = max(ledger.last_seq, frames[-1].seq)
        return ledger, frames


def last_seq_before(commits: Sequence[CommitStored], unsettled: Iterable[tuple[int, InboxMessage]]) -> int:
    """Return the last number before the last commits of a log, `STARTED_SEQ` for an empty prefix.

    A client that has seen this number needs only the frames of these commits and of the unsettled messages.
    """
    assigned = {number for _, number in _accepted_in(commits)}
    assigned.update(message.seq for _, message in unsettled if isinstance(message, TurnReceived))
    last = STARTED_SEQ + (commits[0].commit.frames_before if commits else 0)
    for number in sorted(assigned):
        if number > last:
            break
        last += 1
    return last


def _accepted_in(commits: Iterable[CommitStored]) -> Iterator[tuple[str, int]]:
    """Yield id and number of every message that commits settle."""
    for stored in commits:
        for event in stored.commit.events:
            if isinstance(event, CustomerMessageEvent):
                yield event.message_id, event.accepted_seq


def frames_of(commit: Commit, first_seq: int) -> list[CommitFrame]:
    """Return the frames that a commit shows to the customer, numbered from `first_seq` on."""
    frames: list[CommitFrame] = []
    for event in commit.events:
        if isinstance(event, VisibleEvent):
            frames.append(_frame_of(commit, event, first_seq + len(frames)))
    return frames


def _frame_of(commit: Commit, event: VisibleEvent, seq: int) -> CommitFrame:
    match event:
        case TurnAnswered():
            return MessageFrame(
                turn=commit.turn,
                seq=seq,
                text=event.answer,
                specialty=event.specialty,
                agent=event.agent,
                citations=event.citations,
                in_reply_to=event.message_id,
                consulted=[
                    ConsultedPart(specialty=consulted.specialty, agent=consulted.agent)
                    for consulted in commit.events
                    if isinstance(consulted, Consulted) and consulted.outcome == "advised"
                ],
                title=event.title,
                at=commit.at,
            )
        case PersonReplied(person=person, text=text, in_reply_to=id_):
            return MessageFrame(
                turn=commit.turn,
                seq=seq,
                text=text,
                specialty=PERSON,
                agent=person,
                citations=[],
                in_reply_to=id_,
                at=commit.at,
            )
        case HandedOff(from_=from_, to=to, reason=reason):
            return HandoffFrame(turn=commit.turn, seq=seq, from_=from_, to=to, reason=reason)
        case Claimed(person=person):
            return HandoffFrame(
                turn=commit.turn, seq=seq, from_=ESCALATION, to=PERSON, reason=f"{person} joined the conversation"
            )
        case HandedBack(person=person):
            reason = f"{person} handed the conversation back"
            return HandoffFrame(turn=commit.turn, seq=seq, from_=PERSON, to=commit.owner or TRIAGE, reason=reason)
        case LeftQueue(to=to):
            reason = "you left the queue"
            return HandoffFrame(turn=commit.turn, seq=seq, from_=ESCALATION, to=to or TRIAGE, reason=reason)
        case Escalated(urgency=urgency, position=position, level=level):
            return EscalatedFrame(turn=commit.turn, seq=seq, urgency=urgency, position=position, level=level)
        case Breached(urgency=urgency, position=position):
            return EscalatedFrame(turn=commit.turn, seq=seq, urgency=urgency, position=position, level="person")
        case Closed(reason=reason):
            return ClosedFrame(seq=seq, reason=reason)
        case _:
            assert_never(event)
