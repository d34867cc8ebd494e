"""Record of a turn's tool calls: arguments and results, masked and cut."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, quote_plus

import msgspec
from trunkline_protocols.accounting import ToolUse, ToolUseOutcome
from trunkline_protocols.context import Context
from trunkline_protocols.decoding import encode
from trunkline_protocols.fleet import Tool
from trunkline_protocols.half_characters import join_halves
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome

from trunkline_agents.core.bindings import known_values, without_bound
from trunkline_agents.core.tools import ArgumentsError, decode_arguments

MAX_TEXT_CHARACTERS: Final = 2_000
"""Characters of the arguments of one call, and of its result, that its record keeps."""

MAX_TURN_CHARACTERS: Final = 16_000
"""Characters of all calls of a turn: the records of later ones have hashes only."""

HIDDEN: Final = "[secret]"
"""Stands for a secret of a tool."""

_MAX_NAME_CHARACTERS: Final = 64
_DELETE: Final = 127
"""Code from which on JSON in ASCII escapes every character."""
_MIN_PART_CHARACTERS: Final = 4
"""Length from which a value is masked within a word too; a shorter one would be found in many words by chance."""


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """A call with its outcome, its idempotency key, and the tool of the fleet; None for a built-in one."""

    call: ToolCall
    outcome: ToolOutcome
    key: str
    tool: Tool | None


def tool_uses(done: Iterable[FinishedCall], context: Context) -> list[ToolUse]:
    """Return the records of a turn's calls for the customer of `context`."""
    uses: list[ToolUse] = []
    left = MAX_TURN_CHARACTERS
    for finished in done:
        use = _tool_use(finished, context)
        size = len(use.arguments) + len(use.result)
        if size > left:
            use, size = msgspec.structs.replace(use, arguments="", result=""), 0
        left -= size
        uses.append(use)
    return uses


def outcome_name(outcome: ToolOutcome) -> ToolUseOutcome:
    """Return how a call ended."""
    return "unknown" if outcome.unknown else "failed" if outcome.failed else "done"


def mask(text: str, masks: Mapping[str, str]) -> str:
    """Replace each value of `masks` by its label, also where JSON or an address has escaped it, in any case.

    A value of less than four characters is replaced only where no letter or digit is beside it.
    """
    labels = {form.lower(): label for value, label in masks.items() for form in _forms(value)}
    if not labels:
        return text
    pattern = "|".join(_pattern(form) for form in sorted(labels, key=len, reverse=True))
    return re.sub(pattern, lambda match: labels.get(match[0].lower(), HIDDEN), text, flags=re.IGNORECASE)


def _tool_use(finished: FinishedCall, context: Context) -> ToolUse:
    call, outcome, tool = finished.call, finished.outcome, finished.tool
    masks = _masks(tool, context)
    return ToolUse(
        # The name is the model's own.
        tool=call.name[:_MAX_NAME_CHARACTERS],
        outcome=outcome_name(outcome),
        arguments_sha256=_sha256(call.arguments),
        key=finished.key,
        ms=outcome.ms,
        arguments=_cut(mask(_arguments(call, tool), masks)),
        result=_cut(mask(outcome.text, masks)),
        result_sha256=_sha256(outcome.text),
        result_characters=len(outcome.text),
    )


def _arguments(call: ToolCall, tool: Tool | None) -> str:
    """Return the arguments as they were sent, with the sources of bound values in their places."""
    try:
        arguments = decode_arguments(call)
    except ArgumentsError:
        return call.arguments
    if tool is not None:
        arguments, _ = without_bound(arguments, tool)
        arguments |= {name: f"[{source}]" for name, source in tool.bind.items()}
    return encode(arguments).decode()


def _masks(tool: Tool | None, context: Context) -> dict[str, str]:
    """Return the labels of the values that a tool's arguments were bound to; truth values identify no customer."""
    if tool is None:
        return {}
    values: dict[str, Any] = known_values(tool, context)
    return {
        str(value): f"[{tool.bind[name]}]" for name, value in values.items() if not isinstance(value, bool) and value
    }


def _forms(value: str) -> set[str]:
    """Return a value as it is written in texts, JSON and addresses."""
    whole = join_halves(value)
    found = {value, whole, encode(whole).decode()[1:-1], _ascii_json(whole), quote(whole, safe=""), quote_plus(whole)}
    return {form for form in found if form.strip()}


def _ascii_json(text: str) -> str:
    """Return a text as JSON writes it with escapes for everything that is not ASCII."""
    units = encode(text).decode()[1:-1].encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < _DELETE else f"\\u{code:04x}" for code in codes)


def _pattern(form: str) -> str:
    escaped = re.escape(form)
    if len(form) >= _MIN_PART_CHARACTERS:
        return escaped
    return rf"(?<![^\W_]){escaped}(?![^\W_])"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else text[: MAX_TEXT_CHARACTERS - 1] + "…"


def _sha256(text: str) -> str:
    return hashlib.sha256(join_halves(text).encode()).hexdigest()
