"""Times of the stages of a turn, from the traces of conversations and the times at their clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Final

from trunkline_cli.traces import ConversationStep, ConversationTrace

INBOX: Final = "inbox: append, delivery, decision"
ROUTE: Final = "route by triage"
QUEUE: Final = "dispatch, queue, claim"
PREPARE: Final = "analysis, change of owner"
SEARCH: Final = "search"
GATEWAY: Final = "gateway and deltas, less the model"
MODEL: Final = "model"
RESULT: Final = "result and decision"
EDGE: Final = "socket, commit, delivery"
_ORDER: Final = (INBOX, ROUTE, QUEUE, PREPARE, SEARCH, GATEWAY, MODEL, RESULT, EDGE)
_MS: Final = 1_000.0


def mean_stage_times(
    traces: Iterable[ConversationTrace], responses_ms: Mapping[tuple[str, str], float]
) -> dict[str, float]:
    """Return the mean of each stage in milliseconds; a stage that a turn does not have counts as 0.

    `responses_ms`: time from sending a message to its answer at the client, by conversation and message.
    """
    found = [times for trace in traces for turn in _turns(trace.steps) if (times := _times(trace, turn, responses_ms))]
    return {stage: round(mean(times.get(stage, 0.0) for times in found), 2) for stage in _ORDER} if found else {}


def _turns(steps: Iterable[ConversationStep]) -> list[list[ConversationStep]]:
    """Return the steps of each turn, from the customer's message on."""
    turns: list[list[ConversationStep]] = []
    for step in steps:
        if step.type == "turn.received":
            turns.append([])
        if turns:
            turns[-1].append(step)
    return turns


def _times(
    trace: ConversationTrace, turn: list[ConversationStep], responses_ms: Mapping[tuple[str, str], float]
) -> dict[str, float] | None:
    steps = {step.type: step for step in turn}
    received, answered, dispatched = (steps.get(name) for name in ("turn.received", "turn.answered", "turn.answer"))
    if received is None or answered is None or dispatched is None:
        return None
    response_ms = responses_ms.get((trace.conversation, str(answered.detail.get("in_reply_to"))))
    if response_ms is None:
        return None
    routed, search, completion = (steps.get(name) for name in ("turn.routed", "knowledge.search", "llm.complete"))
    model_ms = float(answered.detail.get("model_ms", 0.0))
    first_at = routed.at if routed is not None else dispatched.at
    worked_at = dispatched.at + dispatched.ms / _MS
    started = search or completion or answered
    ended_at = completion.at + completion.ms / _MS if completion is not None else answered.at
    return {
        INBOX: (first_at - received.at) * _MS,
        ROUTE: routed.ms if routed is not None else 0.0,
        QUEUE: dispatched.ms,
        PREPARE: max(0.0, (started.at - worked_at) * _MS),
        SEARCH: search.ms if search is not None else 0.0,
        GATEWAY: completion.ms - model_ms if completion is not None else 0.0,
        MODEL: model_ms,
        RESULT: max(0.0, (answered.at - ended_at) * _MS),
        EDGE: response_ms - answered.ms,
    }
