"""Records of a load run: the times of every turn, and violations of the promises to a customer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

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

_REFUSAL: Final = "unavailable"
_MS: Final = 1_000.0


@dataclass(slots=True)
class TurnRecord:
    """One message and its answer. Times in seconds by the client's monotonic clock."""

    id: str
    sent_at: float
    text: str = ""
    due_at: float | None = None
    """Intended moment of sending; None: the moment of sending."""
    phase: int | None = 0
    """Position of the phase in the profile; None: before the load, not counted."""
    accepted_at: float | None = None
    first_token_at: float | None = None
    answered_at: float | None = None
    attempts: int = 1
    is_refused: bool = False
    """The suite refused the message for now, and it is not sent again."""
    is_failed: bool = False
    """The suite reported another error for the message."""
    model_ms: float | None = None
    """The model's own time; None if it is not known."""
    model_first_token_ms: float = 0.0

    @property
    def is_settled(self) -> bool:
        """Whether no answer is awaited."""
        return self.answered_at is not None or self.is_refused or self.is_failed

    @property
    def response_ms(self) -> float | None:
        """Time from the intended moment to the answer; None if there is no answer."""
        return (self.answered_at - self._intended_at) * _MS if self.answered_at is not None else None

    @property
    def response_from_sent_ms(self) -> float | None:
        """Time from sending the message to its answer; None if there is no answer."""
        return (self.answered_at - self.sent_at) * _MS if self.answered_at is not None else None

    @property
    def first_token_ms(self) -> float | None:
        """Time from the intended moment to the first delta; None if there was no delta or no answer."""
        if self.answered_at is None or self.first_token_at is None:
            return None
        return (self.first_token_at - self._intended_at) * _MS

    @property
    def _intended_at(self) -> float:
        return self.sent_at if self.due_at is None else self.due_at


@dataclass(slots=True)
class ConversationRecord:
    """One conversation from its customer's view, with at most one unanswered message."""

    conversation: str = ""
    turns: list[TurnRecord] = field(default_factory=list)
    last_seq: int = 0
    duplicated: int = 0
    misordered: int = 0
    refusals: int = 0
    """Error frames with code `unavailable` for a message."""
    is_closed: bool = False
    """The suite has closed the conversation."""
    errors: list[tuple[str, str]] = field(default_factory=list)
    """Code and message of every other error."""
    _by_id: dict[str, TurnRecord] = field(default_factory=dict)
    _oldest: int = 0
    """Position of the first turn that is not settled."""

    @property
    def is_waiting(self) -> bool:
        """Whether the last message is unanswered."""
        return bool(self.turns) and not self.turns[-1].is_settled

    def record_sent(self, turn: TurnRecord) -> None:
        """Record a message that was sent."""
        self.turns.append(turn)
        self._by_id[turn.id] = turn

    def record_refusal(self, frame: ServerFrame) -> TurnRecord | None:
        """Count a refusal and return the message that is refused for now; None if the frame is something else."""
        if not isinstance(frame, ErrorFrame) or frame.code != _REFUSAL or not isinstance(frame.id, str):
            return None
        turn = self._by_id.get(frame.id)
        if turn is None or turn.accepted_at is not None:
            return None
        self.refusals += 1
        return turn

    def record_frame(self, frame: ServerFrame, now: float) -> None:
        """Record a frame that was received and is no refusal."""
        match frame:
            case StartedFrame(conversation=conversation):
                self.conversation = conversation
                self._check_seq(frame.seq)
            case AcceptedFrame(id=id_, seq=seq):
                self._check_seq(seq)
                if (turn := self._by_id.get(id_)) is None:
                    self.misordered += 1
                else:
                    turn.accepted_at = now
            case DeltaFrame():
                if self.is_waiting and self.turns[-1].first_token_at is None:
                    self.turns[-1].first_token_at = now
            case MessageFrame():
                self._check_seq(frame.seq)
                self._record_answer(frame, now)
            case HandoffFrame(seq=seq) | EscalatedFrame(seq=seq):
                self._check_seq(seq)
            case ClosedFrame(seq=seq):
                self._check_seq(seq)
                self.is_closed = True
            case ErrorFrame():
                self._record_error(frame)
            case _:
                pass

    def _check_seq(self, seq: int) -> None:
        if seq <= self.last_seq:
            self.duplicated += 1
        elif seq != self.last_seq + 1:
            self.misordered += 1
        self.last_seq = max(self.last_seq, seq)

    def _record_error(self, frame: ErrorFrame) -> None:
        self.errors.append((frame.code, frame.message))
        turn = self._by_id.get(frame.id) if isinstance(frame.id, str) else None
        if turn is not None and turn.accepted_at is None:
            turn.is_failed = True

    def _record_answer(self, frame: MessageFrame, now: float) -> None:
        turn = self._by_id.get(frame.in_reply_to)
        if turn is None:
            self.misordered += 1
        elif turn.answered_at is not None:
            self.duplicated += 1
        else:
            while self._oldest < len(self.turns) and self.turns[self._oldest].is_settled:
                self._oldest += 1
            if self._oldest == len(self.turns) or turn is not self.turns[self._oldest]:
                self.misordered += 1
            turn.answered_at = now


def errors_by_code(records: Iterable[ConversationRecord]) -> Counter[str]:
    """Return how often each error was received."""
    return Counter(code for record in records for code, _ in record.errors)
