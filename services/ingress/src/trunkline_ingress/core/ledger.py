"""The numbers of a conversation's durable frames, the same on every ingress and after every crash.

`started` is 1. The ingress gives `accepted` the next free number and stores it in the message itself. Everything else
comes from commits and takes the numbers that are left, in the order of the log. So the numbers follow from the two
streams alone: the k-th frame of the log has the k-th number from 2 on that no accepted message has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

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
    CustomerSaid,
    Escalated,
    Event,
    HandedBack,
    HandedOff,
    LeftQueue,
    PersonReplied,
    TurnAnswered,
)

CommitFrame: TypeAlias = MessageFrame | HandoffFrame | EscalatedFrame | ClosedFrame

STARTED_SEQ: Final = 1
PERSON: Final = "person"
"""How people at the desk are called where agents have a specialty."""


class Ledger:
    """What an ingress knows of one conversation."""

    def __init__(self) -> None:
        """Begin with nothing but `started`."""
        self.high = STARTED_SEQ
        """The last number given."""
        self.last_commit = 0
        """Sequence of the last commit that is numbered."""
        self.last_inbox = 0
        """Sequence of the last message that is stored."""
        self.accepted: dict[str, int] = {}
        """Numbers of accepted messages, by the client's id."""
        self.unanswered: dict[str, int] = {}
        """Inbox sequences of messages that wait for their answer, by the client's id."""
        self.closed = False

    @property
    def next_seq(self) -> int:
        """The number that the next frame will have."""
        return self.high + 1

    def accept(self, message_id: str, inbox_seq: int) -> AcceptedFrame:
        """Give the next number to a message that is stored now."""
        self.high += 1
        self.last_inbox = inbox_seq
        self.accepted[message_id] = self.high
        self.unanswered[message_id] = inbox_seq
        return AcceptedFrame(id=message_id, seq=self.high)

    def commit(self, stored: CommitStored) -> list[DurableFrame]:
        """Number the frames of the next commit."""
        frames: list[DurableFrame] = []
        for frame in frames_of(stored.commit, self.high + 1):
            frames.append(frame)
            self.high = frame.seq
        self._remember(stored)
        return frames

    def _remember(self, stored: CommitStored) -> None:
        self.last_commit = stored.sequence
        for event in stored.commit.events:
            if isinstance(event, TurnAnswered | CustomerSaid):
                self.unanswered.pop(event.message_id, None)
            elif isinstance(event, Closed):
                self.closed = True

    @classmethod
    def replay(
        cls, commits: Iterable[CommitStored], inbox: Iterable[tuple[int, InboxMessage]]
    ) -> tuple[Ledger, list[DurableFrame]]:
        """Rebuild everything from the log and from the messages (with their sequences) that it does not answer yet.

        Returns the frames after `started`, by number.
        """
        ledger = cls()
        log = list(commits)
        frames: list[DurableFrame] = []
        for stored in log:
            ledger.last_inbox = max(ledger.last_inbox, stored.commit.inbox_seq)
            for event in stored.commit.events:
                if isinstance(event, TurnAnswered | CustomerSaid):
                    ledger.accepted[event.message_id] = event.accepted_seq
                    frames.append(AcceptedFrame(id=event.message_id, seq=event.accepted_seq))
        for inbox_seq, message in inbox:
            ledger.last_inbox = max(ledger.last_inbox, inbox_seq)
            if isinstance(message, TurnReceived) and message.message_id not in ledger.accepted:
                ledger.accepted[message.message_id] = message.seq
                ledger.unanswered[message.message_id] = inbox_seq
                frames.append(AcceptedFrame(id=message.message_id, seq=message.seq))
        taken = {frame.seq for frame in frames}
        free = STARTED_SEQ + 1
        for stored in log:
            for frame in frames_of(stored.commit, 0):
                while free in taken:
                    free += 1
                frames.append(msgspec.structs.replace(frame, seq=free))
                free += 1
            ledger._remember(stored)
        frames.sort(key=lambda frame: frame.seq)
        ledger.high = frames[-1].seq if frames else STARTED_SEQ
        return ledger, frames


def frames_of(commit: Commit, first_seq: int) -> list[CommitFrame]:
    """What a customer sees of a commit, numbered from `first_seq` on."""
    frames: list[CommitFrame] = []
    for event in commit.events:
        frame = _frame_of(commit, event, first_seq + len(frames))
        if frame is not None:
            frames.append(frame)
    return frames


def _frame_of(commit: Commit, event: Event, seq: int) -> CommitFrame | None:
    match event:
        case TurnAnswered():
            return MessageFrame(
                turn=commit.turn,
                seq=seq,
                text=event.text,
                specialty=event.specialty,
                agent=event.agent,
                citations=event.citations,
                in_reply_to=event.message_id,
                consulted=[
                    ConsultedPart(specialty=asked.specialty, agent=asked.agent)
                    for asked in commit.events
                    if isinstance(asked, Consulted) and asked.outcome == "advised"
                ],
            )
        case PersonReplied(person=person, text=text, in_reply_to=id_):
            return MessageFrame(
                turn=commit.turn, seq=seq, text=text, specialty=PERSON, agent=person, citations=[], in_reply_to=id_
            )
        case HandedOff(from_=from_, to=to, reason=reason):
            return HandoffFrame(turn=commit.turn, seq=seq, from_=from_, to=to, reason=reason)
        case Claimed(person=person):
            return HandoffFrame(turn=commit.turn, seq=seq, from_=ESCALATION, to=PERSON, reason=f"{person} is here now")
        case HandedBack(person=person):
            reason = f"{person} has handed back"
            return HandoffFrame(turn=commit.turn, seq=seq, from_=PERSON, to=commit.owner or TRIAGE, reason=reason)
        case LeftQueue(to=to):
            reason = "you no longer wait for a person"
            return HandoffFrame(turn=commit.turn, seq=seq, from_=ESCALATION, to=to or TRIAGE, reason=reason)
        case Escalated(urgency=urgency, position=position, level=level):
            return EscalatedFrame(turn=commit.turn, seq=seq, urgency=urgency, position=position, level=level)
        case Breached(urgency=urgency, position=position):
            return EscalatedFrame(turn=commit.turn, seq=seq, urgency=urgency, position=position, level="person")
        case Closed(reason=reason):
            return ClosedFrame(seq=seq, reason=reason)
        case _:
            return None
