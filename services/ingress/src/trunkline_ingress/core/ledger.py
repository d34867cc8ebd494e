"""The numbers of a conversation's durable frames, the same on every ingress and after every crash.

`started` is 1. The ingress gives `accepted` the next free number and stores it in the message itself. Everything else
comes from commits and takes the numbers that are left, in the order of the log. So the numbers follow from the two
streams alone: the k-th frame of the log has the k-th number from 2 on that no accepted message has.

They follow from the end of the log too. Each commit says how many numbers belong to the commits before it and to the
messages that those settle. An accepted message has a lower number than every frame of the commit that settles it and
of later ones, and numbers have no gaps: what was before the last commits has just the first so many numbers that none
of the messages in these commits, or unsettled ones, have; the frames of these commits have the next ones.
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
from trunkline_protocols.rules.message_id_filter import may_hold

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
        """Numbers of accepted messages, by the client's id: but of those in `_unread`."""
        self._unread = b""
        """Filter of the ids of messages in commits that were not read, see `seen`."""
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
            if isinstance(event, CustomerMessageEvent):
                self.unanswered.pop(event.message_id, None)
            elif isinstance(event, Closed):
                self.closed = True

    def is_unsure_of(self, message_id: str) -> bool:
        """Whether a message may have been accepted, in a commit that was not read; `learn` tells."""
        return message_id not in self.accepted and may_hold(self._unread, message_id)

    def learn(self, commits: Iterable[CommitStored]) -> None:
        """Take in the messages of the whole log."""
        for message_id, number in _said_in(commits):
            self.accepted.setdefault(message_id, number)
        self._unread = b""

    @classmethod
    def replay(
        cls, commits: Sequence[CommitStored], unsettled: Sequence[tuple[int, InboxMessage]], *, end: int
    ) -> tuple[Ledger, list[DurableFrame]]:
        """Rebuild from the last commits of the log, or all, and from messages that no commit settles yet.

        One of the commits settles something, or they are all. Messages come with their sequences; `end` is that of the
        inbox' last message. Returns the frames over `last_before`, and those of messages that were accepted below it.
        """
        ledger = cls()
        if commits:
            ledger._unread = commits[0].commit.ids_before
            ledger.closed = commits[0].commit.ended_before
        ledger.accepted = dict(_said_in(commits))
        ledger.last_inbox = max([end, *(inbox_seq for inbox_seq, _ in unsettled)])
        for inbox_seq, message in unsettled:
            if isinstance(message, TurnReceived) and message.message_id not in ledger.accepted:
                ledger.accepted[message.message_id] = message.seq
                ledger.unanswered[message.message_id] = inbox_seq
        frames: list[DurableFrame] = [AcceptedFrame(id=id_, seq=number) for id_, number in ledger.accepted.items()]
        taken = set(ledger.accepted.values())
        ledger.high = last = last_before(commits, unsettled)
        for stored in commits:
            for frame in frames_of(stored.commit, 0):
                last += 1
                while last in taken:
                    last += 1
                frames.append(msgspec.structs.replace(frame, seq=last))
            ledger._remember(stored)
        frames.sort(key=lambda frame: frame.seq)
        if frames:
            ledger.high = max(ledger.high, frames[-1].seq)
        return ledger, frames


def last_before(commits: Sequence[CommitStored], unsettled: Iterable[tuple[int, InboxMessage]]) -> int:
    """Return the last number of what was before the last commits of a log, `STARTED_SEQ` when nothing was.

    Whoever has seen this one has missed nothing but what these commits and the unsettled messages tell.
    """
    taken = {number for _, number in _said_in(commits)}
    taken.update(message.seq for _, message in unsettled if isinstance(message, TurnReceived))
    last = STARTED_SEQ + (commits[0].commit.frames_before if commits else 0)
    for number in sorted(taken):
        if number > last:
            break
        last += 1
    return last


def _said_in(commits: Iterable[CommitStored]) -> Iterator[tuple[str, int]]:
    """Ids and numbers of the messages that commits settle."""
    for stored in commits:
        for event in stored.commit.events:
            if isinstance(event, CustomerMessageEvent):
                yield event.message_id, event.accepted_seq


def frames_of(commit: Commit, first_seq: int) -> list[CommitFrame]:
    """What a customer sees of a commit, numbered from `first_seq` on."""
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
            assert_never(event)
