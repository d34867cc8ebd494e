"""What a model may ask an agent to do, and whether it asked rightly."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from trunkline_protocols.accounting import ToolUse
from trunkline_protocols.completion import ToolCall, ToolOutcome, ToolSpec
from trunkline_protocols.fleet import Agent, Fleet, Tool

MOST_STEPS: Final = 6
"""Steps of one turn; then the model has to answer with what it knows."""

_LONGEST_NAME: Final = 64
LONGEST_TEXT: Final = 4_000
"""Characters of a tool's answer that the model is shown."""

DECISIONS: Final = frozenset({"handoff", "escalate"})
"""Tools that end the agent's work on the turn."""


class ArgumentsError(ValueError):
    """The model's arguments do not fit the tool; the message tells it what is wrong and where."""


def built_in_specs(agent: Agent) -> list[ToolSpec]:
    """Describe the fleet's own protocols to the model, as far as the agent may use them."""
    specs = {
        "search_knowledge": _spec(
            "search_knowledge", "Search the help articles.", {"query": {"type": "string", "minLength": 1}}
        ),
        "consult": _spec(
            "consult",
            "Ask a specialist of another field for advice; you keep the conversation.",
            {"specialty": {"enum": agent.consult}, "question": {"type": "string", "minLength": 1}},
        ),
        "escalate": _spec(
            "escalate",
            "Hand the conversation to a person. Only when you cannot help.",
            {"urgency": {"enum": ["low", "normal", "high", "critical"]}, "reason": {"type": "string", "minLength": 1}},
        ),
        "handoff": _spec(
            "handoff",
            "Let another specialty take the conversation over and answer.",
            {"specialty": {"enum": agent.hand_off_to}, "reason": {"type": "string", "minLength": 1}},
        ),
    }
    empty = {"consult": not agent.consult, "handoff": not agent.hand_off_to}
    return [specs[name] for name in agent.tools if name in specs and not empty.get(name, False)]


def declared(fleet: Fleet, agent: Agent) -> list[Tool]:
    """Return the tools of the fleet that an agent may use."""
    return [tool for tool in fleet.tools if tool.name in agent.tools]


def arguments(call: ToolCall, spec: ToolSpec) -> dict[str, Any]:
    """Read and check the arguments of a call."""
    try:
        given = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError as error:
        raise ArgumentsError(f"the arguments are not JSON: {error}") from error
    fault = best_match(Draft202012Validator(spec.parameters).iter_errors(given))
    if fault is not None:
        raise ArgumentsError(f"the arguments do not fit: {fault.json_path}: {fault.message}"[:500])
    if not isinstance(given, dict):
        raise ArgumentsError("the arguments are not an object")
    return given


def use_of(call: ToolCall, outcome: ToolOutcome, key: str) -> ToolUse:
    """Write down what was called and what came of it; names are the model's own, so they are cut."""
    return ToolUse(
        tool=call.name[:_LONGEST_NAME],
        outcome="unknown" if outcome.unknown else "failed" if outcome.failed else "done",
        arguments_sha256=hashlib.sha256(call.arguments.encode()).hexdigest(),
        key=key,
        ms=outcome.ms,
    )


def shortened(text: str) -> str:
    """Cut what a tool said to what a model is shown."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _spec(name: str, description: str, properties: dict[str, Any]) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return ToolSpec(name=name, description=description, parameters=schema)
