"""What a load run saw: every turn with its times, and every breach of the promises made to a customer."""

from __future__ import annotations

from dataclasses import dataclass, field

from trunkline_protocols.frames import (
    AcceptedFrame,
    ClosedFrame,
    DeltaFrame,
    ErrorFrame,
    EscalatedFrame,
    HandoffFrame,
    MessageFrame,
    ServerFrame,
    StartedFrame,
)


@dataclass(slots=True)
class TurnRecord:
    """One message and its answer. Times in seconds by the client's monotonic clock."""

    id: str
    due_at: float
    sent_at: float
    accepted_at: float | None = None
    first_token_at: float | None = None
    answered_at: float | None = None
    model_ms: float = 0.0
    model_first_token_ms: float = 0.0


@dataclass(slots=True)
class Customer:
    """One conversation as its customer sees it."""

    conversation: str = ""
    turns: list[TurnRecord] = field(default_factory=list)
    last_seq: int = 0
    duplicated: int = 0
    misordered: int = 0
    errors: list[str] = field(default_factory=list)
    _by_id: dict[str, TurnRecord] = field(default_factory=dict)
    _answered: list[str] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self.turns) and self.turns[-1].answered_at is None

    def said(self, turn: TurnRecord) -> None:
        """Remember what was sent."""
        self.turns.append(turn)
        self._by_id[turn.id] = turn

    def hear(self, frame: ServerFrame, now: float) -> None:
        """Take a frame into account."""
        match frame:
            case StartedFrame(conversation=conversation):
                self.conversation = conversation
                self._count(frame.seq)
            case AcceptedFrame(id=id_, seq=seq):
                self._count(seq)
                self._by_id[id_].accepted_at = now
            case DeltaFrame():
                current = next((turn for turn in self.turns if turn.answered_at is None), None)
                if current is not None and current.first_token_at is None:
                    current.first_token_at = now
            case MessageFrame():
                self._count(frame.seq)
                self._answer(frame, now)
            case HandoffFrame(seq=seq) | EscalatedFrame(seq=seq) | ClosedFrame(seq=seq):
                self._count(seq)
            case ErrorFrame(code=code, message=message):
                self.errors.append(f"{code}: {message}")
            case _:
                pass

    def _count(self, seq: int) -> None:
        if seq <= self.last_seq:
            self.duplicated += 1
        elif seq != self.last_seq + 1:
            self.misordered += 1
        self.last_seq = max(self.last_seq, seq)

    def _answer(self, frame: MessageFrame, now: float) -> None:
        turn = self._by_id.get(frame.in_reply_to)
        if turn is None:
            self.misordered += 1
        elif turn.answered_at is not None:
            self.duplicated += 1
        else:
            turn.answered_at = now
            self._answered.append(turn.id)
            if self._answered != [asked.id for asked in self.turns[: len(self._answered)]]:
                self.misordered += 1
