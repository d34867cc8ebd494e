"""Commits record the evidence and the work behind a decision, also if the customer does not get the work's result."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from trunkline_conversation.core.decisions import Decision, assignment, first_step, on_result
from trunkline_conversation.core.state import Conversation
from trunkline_conversation.core.steps import Append, Work
from trunkline_protocols.accounting import ToolUse, Usage
from trunkline_protocols.citations import Retrieved
from trunkline_protocols.consultation import Consultation
from trunkline_protocols.evidence import RoutingEvidence, Score
from trunkline_protocols.log import Consulted, Escalated, Event, HandedOff, ToolUsed, TurnAnswered
from trunkline_protocols.turn import Escalate, TurnFailed

from tests.conversation.builders import answered, begun, environment, handed_off, ref, routed
from tests.conversation.test_escalations import escalation, owned

E = TypeVar("E", bound=Event)
EVIDENCE = RoutingEvidence(reason="classified", scores=[Score(name="technical", value=1.5)], scope_score=2.0)
USAGE = Usage(input_tokens=100, output_tokens=5, cost=0.25)
FOUND = [Retrieved(document="refunds", score=0.2, rev=4)]
TOOL = ToolUse(tool="issue-refund", outcome="done", arguments_sha256="0f", result="refund 1")
CONSULTED = Consultation(
    consultation="k1",
    specialty="technical",
    question="Why?",
    outcome="advised",
    advice="Restart.",
    provider="local",
    model="small",
    retrieved=FOUND,
)


def event_of(decision: Decision, type_: type[E]) -> E:
    """Return the only event of a type in a commit."""
    assert isinstance(decision, Append)
    (found,) = [event for event in decision.events if isinstance(event, type_)]
    return found


def test_routing_and_handoff_keep_scores_and_reasons() -> None:
    """As the router gave them."""
    state = owned()
    turn = begun(state, 2)
    assigned = assignment(routed(turn, "billing", evidence=EVIDENCE))
    assert (assigned.confidence, assigned.evidence) == (0.5, EVIDENCE)
    requested = handed_off(
        turn,
        "technical",
        confidence=0.75,
        evidence=EVIDENCE,
        provider="local",
        from_agent="billing-one",
        retrieved=FOUND,
    )
    event = event_of(on_result(state, turn, requested, environment()), HandedOff)
    assert (event.confidence, event.evidence, event.provider) == (0.75, EVIDENCE, "local")
    assert (event.from_agent, event.retrieved) == ("billing-one", FOUND)


def test_escalation_of_an_agent_keeps_its_evidence_and_work() -> None:
    """Scores of recognised intents, the model with its tokens, tool calls and consultations."""
    state = owned()
    turn = begun(state, 2)
    result = Escalate(
        ref=ref(turn),
        urgency="high",
        reason="rule flood",
        summary="s",
        agent="billing-one",
        instance="agents-1",
        scores=[Score(name="flood", value=0.9)],
        provider="local",
        model="small",
        usage=USAGE,
        tools=[TOOL],
        consultations=[CONSULTED],
        retrieved=FOUND,
    )
    decision = on_result(state, turn, result, environment())
    event = event_of(decision, Escalated)
    assert (event.agent, event.instance, event.model, event.usage) == ("billing-one", "agents-1", "small", USAGE)
    assert (event.scores, event.retrieved) == ([Score(name="flood", value=0.9)], FOUND)
    assert event_of(decision, ToolUsed).use == TOOL
    consulted = event_of(decision, Consulted)
    assert (consulted.requested_by, consulted.provider, consulted.retrieved) == ("billing", "local", FOUND)


def test_escalation_by_a_count_keeps_the_count() -> None:
    """Words of frustration, and questions without an answer."""
    state = owned()
    upset = first_step(state, begun(state, 2, text="ridiculous, just ridiculous"), environment())
    assert event_of(upset, Escalated).scores == [Score(name="words of frustration", value=2)]
    failing = owned(failures=environment().policy.failed_turns - 1)
    turn = begun(failing, 2)
    withheld = answered(turn, abstained=True, model="small", usage=USAGE, retrieved=FOUND)
    event = event_of(on_result(failing, turn, withheld, environment()), Escalated)
    assert event.scores == [Score(name="unanswered questions", value=environment().policy.failed_turns)]
    assert (event.model, event.usage, event.retrieved) == ("small", USAGE, FOUND)


def test_answer_withheld_from_a_waiting_customer_is_accounted_for() -> None:
    """In the commit of the text of the system, with its tokens and tools."""
    state = owned(owner="escalation", escalation=escalation())
    turn = begun(state, 2)
    assert turn.work.is_waiting
    withheld = answered(turn, abstained=True, model="small", usage=USAGE, retrieved=FOUND, tools=[TOOL])
    decision = on_result(state, turn, withheld, environment())
    event = event_of(decision, TurnAnswered)
    assert (event.answer == withheld.text, event.model, event.usage, event.retrieved) == (False, "small", USAGE, FOUND)
    assert event_of(decision, ToolUsed).use == TOOL


def test_tools_of_a_failed_turn_are_recorded_with_the_apology() -> None:
    """They have taken effect; a further attempt finds them in its ledger."""
    state = owned()
    turn = begun(state, 2)
    failed = TurnFailed(ref=ref(turn), reason="tools: limit", retryable=False, tools=[TOOL])
    assert event_of(on_result(state, turn, failed, environment()), ToolUsed).use == TOOL
    assert isinstance(on_result(state, turn, msgspec.structs.replace(failed, retryable=True), environment()), Work)


def test_answer_keeps_the_notices_in_force_and_the_evidence_of_asking_back() -> None:
    state = Conversation(id=owned().id, region="local")
    turn = begun(state)
    asked_back = answered(turn, owns=False, notices=["n2"], active_notices=["n1", "n2"], routing=EVIDENCE)
    event = event_of(on_result(state, turn, asked_back, environment()), TurnAnswered)
    assert (event.notices, event.active_notices, event.routing) == (["n2"], ["n1", "n2"], EVIDENCE)
