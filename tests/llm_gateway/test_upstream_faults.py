"""Faults of model servers in one table: the displayed text, the committed one, the provider that answers, the cost.

Each row is a turn: a real HTTP server sends the bytes of the row, the gateway completes, the agent turns the completion
into its result, and the conversation service decides what to commit. The rows are kinds of faults that users of
OpenAI-compatible servers have reported.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import msgspec
import pytest
from prometheus_client import REGISTRY
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.core.routing.router import Router
from trunkline_agents.core.routing.training import train
from trunkline_conversation.core.decisions import on_result
from trunkline_conversation.core.steps import Append
from trunkline_llm_gateway.core.budgets import day_of
from trunkline_protocols.completion import Complete, CompletionReply
from trunkline_protocols.log import TurnAnswered
from trunkline_protocols.turn import Answered

from tests.agents.builders import BUILT_IN, make_request, make_task, make_worker, small_fleet
from tests.agents.fakes import FakeKnowledgeBase
from tests.conversation.builders import begun, environment, fresh, ref
from tests.llm_gateway.fault_table import answers, breaks, ends, tool_calls
from tests.llm_gateway.fault_table.case import BACKUP_TEXT, REPORTED, Case
from tests.llm_gateway.gateway_harness import NEVER_OPENS, GatewayHarness, provider_config, running_gateway
from tests.support.raw_model_server import Reply, events, finish, serve_raw, text, usage

CASES = {**answers.CASES, **ends.CASES, **tool_calls.CASES, **breaks.CASES}
QUESTION = "I was charged twice on my invoice"
BACKUP = Reply(events(text(BACKUP_TEXT), finish(), usage(2000, 200)))
BACKUP_COST = 2000 * 1.0 + 200 * 10.0
REPORTED_COST = REPORTED[0] * 1.0 + REPORTED[1] * 10.0
"""In millionths of a dollar, by the prices of `provider_config`."""


def _routing(tools: list[str]) -> FleetRouting:
    fleet = small_fleet(tools=tools)
    return FleetRouting(1, fleet, Router(fleet, train(fleet, "faults", built_in=BUILT_IN)))


ROUTING = {False: _routing([]), True: _routing(["search_knowledge"])}


@dataclass
class GatewayModel:
    """The gateway as the agent's language model."""

    harness: GatewayHarness
    replies: list[CompletionReply] = field(default_factory=list)

    async def complete(self, request: Complete) -> CompletionReply:
        self.replies.append(await self.harness.request(request))
        return self.replies[-1]


@dataclass
class Outcome:
    """What became of a turn."""

    committed: TurnAnswered
    harness: GatewayHarness
    knowledge: FakeKnowledgeBase


async def _run(case: Case) -> Outcome:
    shown = asyncio.Event()
    async with serve_raw(*case.replies, pause=shown.wait) as server, serve_raw(BACKUP) as backup:
        primary = provider_config("primary", server.url, **case.config)
        async with running_gateway(primary, provider_config("backup", backup.url), policy=NEVER_OPENS) as harness:
            harness.on_delta = shown.set
            knowledge = FakeKnowledgeBase()
            worker = make_worker(GatewayModel(harness), knowledge=knowledge)
            result = await worker.process(make_task(make_request(QUESTION), ROUTING[case.tools]))
            return Outcome(_commit(result), harness, knowledge)


def _commit(result: object) -> TurnAnswered:
    assert isinstance(result, Answered), result
    turn = begun(fresh())
    decision = on_result(fresh(), turn, msgspec.structs.replace(result, ref=ref(turn)), environment())
    assert isinstance(decision, Append)
    event = decision.events[-1]
    assert isinstance(event, TurnAnswered)
    return event


def _oddities(case: Case) -> dict[str, float]:
    labels = {"provider": "primary", "model": "small"}
    kinds = {*case.oddities, "usage_missing", "unknown_stop_reason", "late_malformed", "late_cut", "dropped_call"}
    name = "trunkline_llm_oddities_total"
    return {kind: REGISTRY.get_sample_value(name, {**labels, "kind": kind}) or 0.0 for kind in kinds}


def _counted_ends() -> dict[str, float]:
    """Return the counters of ends that are not plain ones, of the first provider."""
    labels = {"provider": "primary", "model": "small"}
    name = "trunkline_llm_stop_reasons_total"
    reasons = ("length", "content_filter")
    return {reason: REGISTRY.get_sample_value(name, {**labels, "reason": reason}) or 0.0 for reason in reasons}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_turn_survives_every_fault_of_a_model_server(case: Case) -> None:
    """The displayed text is the committed one; the record names every attempt, and every attempt is charged."""
    before, ends_before = _oddities(case), _counted_ends()
    outcome = await _run(case)
    committed, harness = outcome.committed, outcome.harness
    assert harness.displayed() == committed.answer == case.seen
    assert (committed.provider, committed.stop_reason) == (case.provider, case.stop_reason)
    assert [attempt.outcome for attempt in committed.attempts] == [
        *case.outcomes,
        *(["answered"] if case.outcomes else []),
    ]
    assert any(delta.replace and not delta.text for delta in harness.deltas) == case.withdrawn
    assert [query.query for query in outcome.knowledge.queries[1:]] == list(case.queries)
    found = {kind for kind, count in _oddities(case).items() if count > before[kind]}
    assert found == set(case.oddities)
    ends = {reason: count - ends_before[reason] for reason, count in _counted_ends().items()}
    assert ends == {
        "length": case.outcomes.count("length") + (case.stop_reason == "length"),
        "content_filter": case.outcomes.count("content_filter"),
    }
    _check_cost(case, committed, harness.spending.total("default", day_of(time.time())) * 1e6)


def _check_cost(case: Case, committed: TurnAnswered, charged: float) -> None:
    """Check the budget's sum in millionths of a dollar: the first provider's answers, and the backup's."""
    if case.provider == "backup":
        assert charged >= BACKUP_COST
        charged -= BACKUP_COST
    steps = 1 + sum(outcome == "length" for outcome in case.outcomes) + case.tools * (case.provider == "primary")
    match case.cost:
        case "reported":
            assert charged == pytest.approx(REPORTED_COST * steps)
        case "estimated":
            assert committed.usage.estimated == (case.provider == "primary")
            assert 100 < charged < REPORTED_COST
        case "prompt":
            assert charged > 100
        case "none":
            assert charged == pytest.approx(0.0)


def test_table_is_complete() -> None:
    """At least sixty faults, of all groups, under different names."""
    groups = (answers.CASES, ends.CASES, tool_calls.CASES, breaks.CASES)
    assert len(CASES) == sum(map(len, groups)) >= 60
