"""Records of a load run: the times of every turn, and violations of the promises to a customer."""

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
    sent_at: float
    accepted_at: float | None = None
    first_token_at: float | None = None
    answered_at: float | None = None
    retry_after_s: float | None = None
    """Time that a refusal under overload named; None if the turn was not refused."""
    model_ms: float = 0.0
    model_first_token_ms: float = 0.0

    @property
    def response_ms(self) -> float | None:
        """Time from sending the message to its answer; None if there is no answer."""
        return (self.answered_at - self.sent_at) * 1000 if self.answered_at is not None else None

    @property
    def first_token_ms(self) -> float | None:
        """Time from sending the message to the first delta; None if there was no delta or no answer."""
        if self.answered_at is None or self.first_token_at is None:
            return None
        return (self.first_token_at - self.sent_at) * 1000


@dataclass(slots=True)
class ConversationRecord:
    """One conversation from its customer's view."""

    conversation: str = ""
    turns: list[TurnRecord] = field(default_factory=list)
    last_seq: int = 0
    duplicated: int = 0
    misordered: int = 0
    errors: list[str] = field(default_factory=list)
    _by_id: dict[str, TurnRecord] = field(default_factory=dict)
    _answered: list[str] = field(default_factory=list)

    @property
    def is_waiting(self) -> bool:
        """Whether the last message is unanswered."""
        return bool(self.turns) and self.turns[-1].answered_at is None and self.turns[-1].retry_after_s is None

    def record_sent(self, turn: TurnRecord) -> None:
        """Record a message that was sent."""
        self.turns.append(turn)
        self._by_id[turn.id] = turn

    def record_frame(self, frame: ServerFrame, now: float) -> None:
        """Record a frame that was received."""
        match frame:
            case StartedFrame(conversation=conversation):
                self.conversation = conversation
                self._check_seq(frame.seq)
            case AcceptedFrame(id=id_, seq=seq):
                self._check_seq(seq)
                self._by_id[id_].accepted_at = now
            case DeltaFrame():
                current = next(
                    (turn for turn in self.turns if turn.answered_at is None and turn.retry_after_s is None), None
                )
                if current is not None and current.first_token_at is None:
                    current.first_token_at = now
            case MessageFrame():
                self._check_seq(frame.seq)
                self._record_answer(frame, now)
            case HandoffFrame(seq=seq) | EscalatedFrame(seq=seq) | ClosedFrame(seq=seq):
                self._check_seq(seq)
            case ErrorFrame(code="unavailable", id=str(id_), retry_after_s=float(retry_after_s)) if id_ in self._by_id:
                self._by_id[id_].retry_after_s = retry_after_s
            case ErrorFrame(code=code, message=message):
                self.errors.append(f"{code}: {message}")
            case _:
                pass

    def _check_seq(self, seq: int) -> None:
        if seq <= self.last_seq:
            self.duplicated += 1
        elif seq != self.last_seq + 1:
            self.misordered += 1
        self.last_seq = max(self.last_seq, seq)

    def _expected(self, number: int) -> list[str]:
        """Return the ids of the first messages that were not refused, in the order in which they were sent."""
        return [turn.id for turn in self.turns if turn.retry_after_s is None][:number]

    def _record_answer(self, frame: MessageFrame, now: float) -> None:
        turn = self._by_id.get(frame.in_reply_to)
        if turn is None:
            self.misordered += 1
        elif turn.answered_at is not None:
            self.duplicated += 1
        else:
            turn.answered_at = now
            self._answered.append(turn.id)
            if self._answered != self._expected(len(self._answered)):
                self.misordered += 1
