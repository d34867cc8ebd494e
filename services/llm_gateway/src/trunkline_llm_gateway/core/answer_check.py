"""Check of a finished answer: the faults for which it does not count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias

from trunkline_protocols.completion import Complete
from trunkline_protocols.tool_steps import ToolCall

from trunkline_llm_gateway.core.tool_call_assembly import is_complete

Fault: TypeAlias = Literal["content_filter", "status", "unoffered_call", "cut_call", "empty"]

WITHDRAWN: Final[Collection[str]] = frozenset({"content_filter", "thoughts"})
"""Faults after which the text so far is withdrawn from the customer's screen at once."""

FAULT_TEXTS: Final[dict[Fault, str]] = {
    "content_filter": "answer withdrawn by a content filter",
    "status": "the provider gave up",
    "unoffered_call": "answer that calls tools which were not offered",
    "cut_call": "tool call cut at the limit of tokens",
    "empty": "answer without text",
}


def find_fault(
    stop_reason: str, calls: Sequence[ToolCall], request: Complete, *, has_text: bool, is_continued: bool
) -> Fault | None:
    """Return why an answer does not count, None if it does.

    `has_text` if it contains more than white space. `is_continued` if it continues a text: one that was cut behind its
    last word has an empty continuation.
    """
    if stop_reason == "content_filter":
        return "content_filter"
    if stop_reason == "error":
        return "status"
    if calls and not request.tools and (stop_reason == "tool_calls" or not has_text):
        return "unoffered_call"
    if stop_reason == "length" and any(call.arguments and not is_complete(call.arguments) for call in calls):
        return "cut_call"
    if not has_text and not is_continued and not (calls and request.tools):
        return "empty"
    return None


def kept_calls(calls: list[ToolCall], request: Complete) -> list[ToolCall]:
    """Return the calls for the agent: of names that it did not offer it informs the model, if it offered any tools."""
    return calls if request.tools else []
