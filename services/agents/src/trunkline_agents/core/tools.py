"""Tools: specifications offered to a model, and validation of its calls."""

from __future__ import annotations

from typing import Any, Final

from trunkline_protocols.completion import ToolSpec
from trunkline_protocols.decoding import DecodeError, Decoder
from trunkline_protocols.fleet import Agent, Fleet, Tool
from trunkline_protocols.tool_steps import ToolCall

from trunkline_agents.core.schemas import find_violation

MAX_STEPS: Final = 6
"""Tool steps per turn; after them the model has to answer without tools."""

MAX_CALLS: Final = 16
"""Tool calls per step."""
MAX_ARGUMENTS_CHARACTERS: Final = 32_000
"""Characters of the arguments of a call, as the model writes them."""
MAX_RESULT_CHARACTERS: Final = 4_000
"""Characters of a tool's result that are passed to the model."""

TRANSFER_TOOLS: Final = frozenset({"handoff", "escalate"})
"""Tools that end the agent's work on the turn."""

_decoder: Final[Decoder[object]] = Decoder(object)


class ArgumentsError(ValueError):
    """Arguments that do not match the tool's schema; the message tells the model which one and why."""

    quotes_input = True


def built_in_specs(agent: Agent) -> list[ToolSpec]:
    """Return the specifications of the built-in tools that the agent may use."""
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
    has_no_target = {"consult": not agent.consult, "handoff": not agent.hand_off_to}
    return [specs[name] for name in agent.tools if name in specs and not has_no_target.get(name, False)]


def external_tools(fleet: Fleet, agent: Agent) -> list[Tool]:
    """Return the tools declared in the fleet that the agent may use."""
    return [tool for tool in fleet.tools if tool.name in agent.tools]


def decode_arguments(call: ToolCall) -> dict[str, Any]:
    """Decode the arguments of a call; raise `ArgumentsError` if they are not a JSON object of a reasonable size."""
    if len(call.arguments) > MAX_ARGUMENTS_CHARACTERS:
        raise ArgumentsError(f"the arguments are longer than {MAX_ARGUMENTS_CHARACTERS} characters")
    try:
        arguments = _decoder.decode_joined(call.arguments.strip() or "{}")
    except DecodeError as error:
        raise ArgumentsError(f"the arguments are not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ArgumentsError("the arguments are not an object")
    return arguments


def parse_arguments(call: ToolCall, spec: ToolSpec) -> dict[str, Any]:
    """Decode and validate the arguments of a built-in tool; raise `ArgumentsError` if they do not match the schema."""
    arguments = decode_arguments(call)
    violation = find_violation(spec.parameters, arguments)
    if violation:
        raise ArgumentsError(violation)
    return arguments


def truncate(text: str) -> str:
    """Truncate a tool's result to the length passed to the model."""
    return text if len(text) <= MAX_RESULT_CHARACTERS else text[: MAX_RESULT_CHARACTERS - 1] + "…"


def _spec(name: str, description: str, properties: dict[str, Any]) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return ToolSpec(name=name, description=description, parameters=schema)
