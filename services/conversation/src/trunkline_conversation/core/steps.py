"""Steps of a turn, as data: work for an agent, a commit, a reply of the system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import msgspec
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.escalation import EscalationWaiting, Urgency
from trunkline_protocols.fleet import EscalationPolicy, Fleet
from trunkline_protocols.ids import Specialty, TurnId
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Event, HandedOff, OwnerAssigned, Started, TurnAnswered
from trunkline_protocols.subjects import CommitKind, Lane
from trunkline_protocols.turn import MessageAnalysis

from trunkline_conversation.core.state import Conversation

_NOTHING: Final = CustomerKnown()


@dataclass(frozen=True, slots=True)
class Work:
    """Work for an agent: the addressed specialty, and the hop and attempt within the turn."""

    specialty: Specialty
    agent: str = ""
    hop: int = 0
    attempt: int = 1
    lane: Lane = "normal"
    urgency: Urgency = "normal"
    due_at: float = 0.0
    is_waiting: bool = False
    """The customer waits for a person: the agent answers only an explicit question, and well."""
    say: str = ""
    """Authored instruction that the customer reads before the answer."""
    is_claimed: bool = False
    """The agents process that chose this work has begun it: it needs no place in the queue."""


@dataclass(frozen=True, slots=True)
class Append:
    """A commit; `then` is the next step of the same turn, None if the turn ends with it."""

    kind: CommitKind
    events: list[Event]
    owner: str
    agent: str
    epoch: int
    then: Work | SystemReply | None = None

    @property
    def model_ms(self) -> float:
        """Time that the models took for the committed events, in milliseconds."""
        return sum(event.timings.model_ms for event in self.events if isinstance(event, TurnAnswered | HandedOff))

    def with_context_ms(self, context_ms: float) -> Append:
        """Return the decision with the time that the turn waited for facts about the customer."""
        events = [
            msgspec.structs.replace(event, timings=msgspec.structs.replace(event.timings, context_ms=context_ms))
            if isinstance(event, TurnAnswered)
            else event
            for event in self.events
        ]
        return replace(self, events=events)


@dataclass(frozen=True, slots=True)
class SystemReply:
    """A reply by the system instead of an agent; it ends the turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A late or foreign result, ignored for `reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn in progress: the message, the current work, and the choice of triage if it is not committed yet."""

    id: TurnId
    inbox_seq: int
    message: TurnReceived
    work: Work
    assigned: OwnerAssigned | None = None
    analysis: MessageAnalysis | None = None
    """Analysis of the message by the first agent that got the turn."""
    customer: CustomerKnown = _NOTHING
    """Known data about the customer: the same for all work after triage."""
    is_customer_read: bool = False
    """Whether `customer` is that of the work after triage."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Inputs of a decision besides the conversation, read once per decision."""

    fleet: Fleet
    specialties: frozenset[str]
    """Those of the fleet."""
    down: frozenset[str] = field(default_factory=frozenset)
    """Specialties without a live agents process."""
    now: float = 0.0
    """Unix time in seconds."""
    waiting: Sequence[EscalationWaiting] = ()
    """Conversations that wait for a person, or are with one."""

    @property
    def policy(self) -> EscalationPolicy:
        """The fleet's policy of escalation."""
        return self.fleet.escalation


Step: TypeAlias = Work | Append | SystemReply


def opening(state: Conversation, turn: Turn) -> list[Event]:
    """Return the events that precede all others: start and choice of triage, if they are not committed yet."""
    events: list[Event] = []
    if not state.started:
        message = turn.message
        events.append(
            Started(
                customer=message.customer,
                tenant=message.tenant,
                channel=message.channel,
                locale=message.locale,
                tier=message.tier,
                verified=message.verified,
            )
        )
    if turn.assigned is not None and not state.owner:
        events.append(turn.assigned)
    return events
