"""Results of a turn: every kind names its turn and the fleet version that it was decided by."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
import pytest
from msgspec.structs import replace
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.core.routing.router import Router
from trunkline_agents.core.routing.training import train
from trunkline_protocols.completion import Complete, Completed, CompletionReply
from trunkline_protocols.context import Fact, Utterance
from trunkline_protocols.fleet import AgentModel
from trunkline_protocols.ids import Specialty
from trunkline_protocols.knowledge import MessageAnalysed
from trunkline_protocols.refusal import Refused
from trunkline_protocols.tool_steps import ToolCall
from trunkline_protocols.turn import Answered, Escalate, HandOff, MessageAnalysis, Routed, TurnFailed, TurnResult

from tests.agents.builders import BUILT_IN, INSTANCE, make_request, make_task, make_worker, small_fleet
from tests.agents.fakes import PASSAGE, FakeKnowledgeBase, FakeModel, ScriptedModel

FLEET_VERSION = 7
FLEET = small_fleet()
WITH_TOOLS = small_fleet(tools=["escalate", "handoff", "consult"])
ROUTING = FleetRouting(FLEET_VERSION, FLEET, Router(FLEET, train(FLEET, "test", built_in=BUILT_IN)))
ROUTING_WITH_TOOLS = FleetRouting(
    FLEET_VERSION, WITH_TOOLS, Router(WITH_TOOLS, train(WITH_TOOLS, "tools", built_in=BUILT_IN))
)

CHARGED = "I was charged twice on my invoice"
OFFLINE = "my thermostat is offline"
ESCALATION = ToolCall(id="1", name="escalate", arguments='{"urgency": "high", "reason": "angry"}')
HANDOFF = ToolCall(id="1", name="handoff", arguments='{"specialty": "technical", "reason": "wifi"}')

Model: TypeAlias = FakeModel | ScriptedModel


def calling(*calls: ToolCall) -> ScriptedModel:
    """Return a model that requests these calls first and answers after them."""

    def script(request: Complete) -> CompletionReply:
        remaining = [] if request.tool_steps else list(calls)
        return Completed(text="Done.", provider="p", model="m", tool_calls=remaining)

    return ScriptedModel(script)


def refusing(refusal: Refused) -> ScriptedModel:
    return ScriptedModel(lambda _: refusal)


def broken() -> ScriptedModel:
    def script(_: Complete) -> CompletionReply:
        raise ZeroDivisionError

    return ScriptedModel(script)


async def process(model: Model, text: str, specialty: str, routing: FleetRouting = ROUTING) -> TurnResult:
    task = make_task(make_request(text, specialty=specialty, hop=0), routing)
    return await make_worker(model).process(task)


@pytest.mark.parametrize(
    ("kind", "model", "text", "specialty", "routing"),
    [
        (Answered, FakeModel(), CHARGED, "billing", ROUTING),
        (Answered, FakeModel(), "hello there", "triage", ROUTING),
        (Routed, FakeModel(), CHARGED, "triage", ROUTING),
        (HandOff, FakeModel(), OFFLINE, "billing", ROUTING),
        (HandOff, calling(HANDOFF), CHARGED, "billing", ROUTING_WITH_TOOLS),
        (Escalate, calling(ESCALATION), CHARGED, "billing", ROUTING_WITH_TOOLS),
        (TurnFailed, refusing(Refused(code="deadline", message="late", retryable=True)), CHARGED, "billing", ROUTING),
        (TurnFailed, broken(), CHARGED, "billing", ROUTING),
    ],
    ids=["answer", "triage answer", "route", "handoff", "model handoff", "escalation", "refusal", "defect"],
)
async def test_result_names_its_turn_and_fleet_version(
    kind: type[TurnResult], model: Model, text: str, specialty: str, routing: FleetRouting
) -> None:
    """Figures per fleet version need it in every result, failures included."""
    result = await process(model, text, specialty, routing)
    assert isinstance(result, kind)
    assert (result.ref.turn, result.ref.attempt) == ("c1-1", 1)
    assert result.fleet_version == FLEET_VERSION
    if isinstance(result, Answered | HandOff):
        assert result.instance == INSTANCE


async def test_answer_has_the_title_of_its_agent() -> None:
    """The fleet's title, which customers see beside the answer."""
    result = await process(FakeModel(), CHARGED, "billing")
    assert isinstance(result, Answered)
    (agent,) = (agent for agent in ROUTING.fleet.agents if agent.name == result.agent)
    assert result.title == agent.title


async def test_transfer_by_the_model_keeps_its_arguments() -> None:
    """Target, urgency and reason are the model's."""
    moved = await process(calling(HANDOFF), CHARGED, "billing", ROUTING_WITH_TOOLS)
    assert isinstance(moved, HandOff)
    assert (moved.to, moved.agent, moved.reason) == (Specialty("technical"), "technical-one", "wifi")
    raised = await process(calling(ESCALATION), CHARGED, "billing", ROUTING_WITH_TOOLS)
    assert isinstance(raised, Escalate)
    assert (raised.urgency, raised.reason) == ("high", "angry")


@pytest.mark.parametrize(
    ("refusal", "retryable", "cancelled"),
    [
        (Refused(code="deadline", message="late", retryable=True), True, False),
        (Refused(code="cancelled", message="left", retryable=False), False, True),
    ],
)
async def test_refused_completion_fails_the_turn(refusal: Refused, *, retryable: bool, cancelled: bool) -> None:
    """The gateway decides about a retry; a customer who has left is reported as such."""
    result = await process(refusing(refusal), CHARGED, "billing")
    assert isinstance(result, TurnFailed)
    assert (result.reason, result.retryable) == (f"{refusal.code}: {refusal.message}", retryable)
    assert result.cancelled == cancelled


async def test_defect_is_a_retryable_failure() -> None:
    """The reason names the exception."""
    result = await process(broken(), CHARGED, "billing")
    assert isinstance(result, TurnFailed)
    assert (result.reason, result.retryable) == ("ZeroDivisionError", True)


async def test_concurrent_consultations_of_one_step_are_distinct() -> None:
    """Two consultations requested in one step have different ids; neither disturbs the other."""
    calls = [
        ToolCall(id=number, name="consult", arguments='{"specialty": "technical", "question": "is it offline?"}')
        for number in ("1", "2")
    ]
    result = await process(calling(*calls), CHARGED, "billing", ROUTING_WITH_TOOLS)
    assert isinstance(result, Answered)
    assert len({consultation.consultation for consultation in result.consultations}) == 2
    assert [use.outcome for use in result.tools] == ["failed", "failed"]


@pytest.mark.parametrize("text", ["", " \n"])
async def test_answer_without_text_is_a_failure(text: str) -> None:
    """An empty bubble is not an answer: another attempt may write one."""
    result = await process(FakeModel(text), CHARGED, "billing")
    assert isinstance(result, TurnFailed)
    assert result.retryable


async def test_corrected_message_goes_to_the_model_with_the_original() -> None:
    """A provider that compares words needs the correction; the customer's own text stays the message."""
    analyses = FakeKnowledgeBase(analysis=MessageAnalysed(corrected=CHARGED))
    model = FakeModel()
    task = make_task(make_request("I was charegd twice on my invoice", specialty="billing", hop=0), ROUTING)
    await make_worker(model, analyses=analyses).process(task)
    (completion,) = model.completions
    assert (completion.text, completion.corrected) == ("I was charegd twice on my invoice", CHARGED)


@pytest.mark.parametrize(
    ("changes", "anticipated"),
    [
        ({"agent": "billing-one"}, True),
        ({"agent": ""}, False),
        ({"agent": "one-who-left"}, False),
        ({"agent": "billing-one", "text": "thanks"}, False),
        ({"agent": "billing-one", "analysis": MessageAnalysis()}, False),
        ({"agent": "triage-one", "specialty": "triage"}, False),
    ],
    ids=["owner", "no owner yet", "owner left", "too short", "analysed already", "triage"],
)
async def test_owner_gets_passages_together_with_the_analysis(changes: dict[str, Any], anticipated: bool) -> None:  # noqa: FBT001 - a parameter
    """One visit of the knowledge service instead of two, where the query is known before the analysis."""
    knowledge = FakeKnowledgeBase(analysis=MessageAnalysed(passages=[PASSAGE]))
    fields: dict[str, Any] = {"text": "when is the refund on my card", "hop": 0} | changes
    request = make_request(**fields)
    await make_worker(FakeModel(), knowledge=knowledge, analyses=knowledge).process(make_task(request, ROUTING))
    asked = [analysis.search is not None for analysis in knowledge.analyses]
    assert asked == ([] if "analysis" in changes else [anticipated])
    if anticipated:
        assert knowledge.queries == []


async def test_passages_for_another_query_are_not_used() -> None:
    """The answer needs others than anticipated: those for the question before, since the advice did not help."""
    knowledge = FakeKnowledgeBase(analysis=MessageAnalysed(passages=[]))
    request = make_request("that did not help at all", agent="billing-one", hop=0)
    transcript = [
        Utterance(role="customer", text=CHARGED),
        Utterance(role="agent", text="Wait.", specialty="billing", documents=["refunds"]),
    ]
    context = msgspec.structs.replace(request.context, transcript=transcript)
    model = FakeModel()
    task = make_task(msgspec.structs.replace(request, context=context), ROUTING)
    await make_worker(model, knowledge=knowledge, analyses=knowledge).process(task)
    assert knowledge.analyses[0].search is not None
    assert [query.query for query in knowledge.queries] == [CHARGED]
    assert model.completions[0].passages == [PASSAGE]


@pytest.mark.parametrize(("locale", "language"), [("de-AT", "code de"), ("fr", "")])
async def test_agent_has_its_own_model_and_instructions(locale: str, language: str) -> None:
    """And answers in the customer's language, if the fleet serves it; the model gets the facts."""
    own = AgentModel(route="careful", temperature=0.2, max_tokens=200)
    agents = [replace(agent, model=own, instructions="Never promise a date.") for agent in FLEET.agents]
    fleet = replace(FLEET, agents=agents, company=replace(FLEET.company, languages=["en", "de"]))
    routing = FleetRouting(FLEET_VERSION, fleet, Router(fleet, train(fleet, "own", built_in=BUILT_IN)))
    model, request = FakeModel(), make_request(CHARGED)
    facts = [Fact(name="plan", value="Plus", read_at=1.0)]
    request = replace(request, context=replace(request.context, locale=locale, facts=facts))
    await make_worker(model).process(make_task(request, routing))
    (completion,) = model.completions
    assert (completion.route, completion.temperature, completion.max_tokens) == ("careful", 0.2, 200)
    assert "Never promise a date." in completion.instructions
    assert ("Answer in the customer's language" in completion.instructions) == bool(language)
    assert language in completion.instructions
    assert completion.facts == {"plan": "Plus"}


async def test_abstention_has_only_the_sentences_whose_facts_are_known() -> None:
    """With the facts of the customer."""
    abstain = "I do not know. Your plan is {facts.plan}. Your age is {facts.age}."
    fleet = replace(FLEET, company=replace(FLEET.company, abstain=abstain))
    routing = FleetRouting(FLEET_VERSION, fleet, ROUTING.router)
    model, request = FakeModel(), make_request(CHARGED)
    facts = [Fact(name="plan", value="Plus", read_at=1.0)]
    request = replace(request, context=replace(request.context, facts=facts))
    await make_worker(model).process(make_task(request, routing))
    assert model.completions[0].abstain == "I do not know. Your plan is Plus."
