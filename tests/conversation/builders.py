"""Builders of states, turns and agent messages."""

from __future__ import annotations

from typing import Any

import msgspec
from trunkline_chassis.fleet_store import FleetVersion
from trunkline_conversation.core.decisions import begin
from trunkline_conversation.core.state import Conversation, evolve
from trunkline_conversation.core.steps import Append, Environment, Turn
from trunkline_protocols.fleet import EscalationPolicy, EscalationRule, Fleet, FleetPublished
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnRef, turn_id
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit
from trunkline_protocols.turn import Answered, HandOff, Routed

from tests.protocols.sample_parts import AGENT, COMPANY

CONVERSATION = ConversationId("cabc")
SPECIALTIES = frozenset({"triage", "billing", "technical", "escalation"})
POLICY = EscalationPolicy(
    rules=[
        EscalationRule(name="fire", phrases=["smoke", "on fire"], urgency="critical", say="Unplug it."),
        EscalationRule(name="legal", phrases=["my lawyer"], urgency="high", to="person"),
    ],
    person_phrases=["speak to a person"],
    frustration_words=["ridiculous", "fed up"],
    tiers={"plus": "normal", "business": "high"},
    waiting_note="You are number {position}.",
)
FLEET = Fleet(company=COMPANY, agents=[AGENT])
NOW = 1_000.0


def environment(**changes: Any) -> Environment:
    """Return an environment with the test fleet at time `NOW`; `policy` is that of its escalation."""
    fleet = msgspec.structs.replace(changes.pop("fleet", FLEET), escalation=changes.pop("policy", POLICY))
    fields: dict[str, Any] = {"fleet": fleet, "specialties": SPECIALTIES, "now": NOW}
    return Environment(**(fields | changes))


def fleet_version(version: int) -> FleetVersion:
    """Return a version of the test fleet."""
    published = FleetPublished(fleet=FLEET, published_at=NOW, published_by="test", origin="apply")
    return FleetVersion(version, published)


def received(
    number: int = 1,
    *,
    previous: int = 0,
    text: str = "Where is my refund?",
    tier: str = "",
    wants_person: bool = False,
) -> TurnReceived:
    """Return the customer's n-th message."""
    return TurnReceived(
        conversation=CONVERSATION,
        message_id=f"m{number}",
        text=text,
        seq=number + 1,
        previous=previous,
        customer="ada",
        tenant="default",
        region="local",
        channel="web",
        locale="en",
        ingress=Instance("ingress-1"),
        received_at=1.0,
        tier=tier,
        wants_person=wants_person,
    )


def fresh() -> Conversation:
    """Return a conversation without any commit."""
    return Conversation(id=CONVERSATION, region="local")


def begun(state: Conversation, number: int = 1, **message: Any) -> Turn:
    """Return the turn of the n-th message."""
    turn = turn_id(CONVERSATION, number)
    return begin(state, received(number, **message), turn=turn, inbox_seq=number, specialties=SPECIALTIES)


def ref(turn: Turn, **changes: Any) -> TurnRef:
    """Return the reference of the work that a turn waits for."""
    fields = {"attempt": turn.work.attempt, "hop": turn.work.hop, "epoch": 0} | changes
    return TurnRef(conversation=CONVERSATION, turn=turn.id, **fields)


def _common(turn: Turn, changes: dict[str, Any]) -> dict[str, Any]:
    """Split changes into those of the reference and those of the message."""
    of_ref = {name: changes.pop(name) for name in ("attempt", "hop", "epoch") if name in changes}
    return {"ref": ref(turn, **of_ref), **changes}


def answered(turn: Turn, **changes: Any) -> Answered:
    """Return an agent's answer to the current work of a turn."""
    fields = {"specialty": turn.work.specialty, "agent": f"{turn.work.specialty}-one", "text": "Soon."} | changes
    return Answered(**_common(turn, fields))


def routed(turn: Turn, to: str, **changes: Any) -> Routed:
    """Return the choice of triage."""
    return Routed(**_common(turn, {"to": Specialty(to), "agent": f"{to}-one", "confidence": 0.5} | changes))


def handed_off(turn: Turn, to: str, **changes: Any) -> HandOff:
    """Return a handoff request."""
    fields = {"specialty": turn.work.specialty, "to": to, "agent": f"{to}-one", "reason": "r", "summary": "s"}
    return HandOff(**_common(turn, fields | changes))


def committed(state: Conversation, append: Append, *, inbox_seq: int, sequence: int, desk_seq: int = 0) -> Conversation:
    """Return the state after a decision is appended."""
    commit = Commit(
        conversation=CONVERSATION,
        region="local",
        tenant="default",
        customer="ada",
        kind=append.kind,
        turn=turn_id(CONVERSATION, inbox_seq),
        epoch=append.epoch,
        owner=append.owner,
        agent=append.agent,
        inbox_seq=inbox_seq,
        previous=state.sequence,
        frames_before=state.frames,
        at=2.0,
        events=append.events,
        ids_before=state.ids,
        ended_before=state.closed,
        desk_seq=desk_seq,
        fleet_version=state.fleet_version,
        draw=state.draw,
        colour=state.colour,
        release_draw=state.release_draw,
    )
    return evolve(state, commit, sequence)
