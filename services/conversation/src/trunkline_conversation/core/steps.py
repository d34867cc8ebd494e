"""The steps of a turn, as data: what is asked for, what is committed, what is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from trunkline_protocols.context import Urgency
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.fleet import EscalationPolicy
from trunkline_protocols.ids import Specialty, TurnId
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Event, HandedOff, OwnerAssigned, Started, TurnAnswered
from trunkline_protocols.subjects import CommitKind, Lane

from trunkline_conversation.core.state import Conversation


@dataclass(frozen=True, slots=True)
class Work:
    """What an agent is asked to do: the addressee and the number of this piece of work within the turn."""

    specialty: Specialty
    agent: str = ""
    hop: int = 0
    attempt: int = 1
    lane: Lane = "normal"
    handed_off_from: str = ""
    urgency: Urgency = "normal"
    due_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Append:
    """What is committed; `then` is what goes on within the same turn."""

    kind: CommitKind
    events: list[Event]
    owner: str
    agent: str
    epoch: int
    then: Work | SystemReply | None = None

    @property
    def model_ms(self) -> float:
        """The models' own time in it."""
        return sum(event.timings.model_ms for event in self.events if isinstance(event, TurnAnswered | HandedOff))


@dataclass(frozen=True, slots=True)
class SystemReply:
    """The fleet itself says something, and the turn is over."""

    text: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing happens."""

    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn in progress: the message, what has been asked for, and what triage chose."""

    id: TurnId
    inbox_seq: int
    message: TurnReceived
    work: Work
    assigned: OwnerAssigned | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """What a decision depends on beside the conversation itself: read once, when it is made."""

    specialties: frozenset[str]
    policy: EscalationPolicy = field(default_factory=EscalationPolicy)
    down: frozenset[str] = field(default_factory=frozenset)
    """Specialties for which no process is heard at all."""
    now: float = 0.0
    waiting: Sequence[EscalationWaiting] = ()
    """ConversationRegistry that wait for a person, or are with one."""


Step: TypeAlias = Work | Append | SystemReply


def opening(state: Conversation, turn: Turn) -> list[Event]:
    """Events that precede any other: the conversation's start and triage's choice, where they are not committed yet."""
    events: list[Event] = []
    if not state.started:
        message = turn.message
        events.append(
            Started(customer=message.customer, tenant=message.tenant, channel=message.channel, locale=message.locale)
        )
    if turn.assigned is not None and not state.owner:
        events.append(turn.assigned)
    return events
