"""Stop reasons: translation of every provider's own words into those that all of them share."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

StopReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "error", "other"]
"""`stop`: complete; `length`: cut at the limit of tokens; `tool_calls`: the model waits for its tools;
`content_filter`: the provider withdraws the text; `error`: the provider gave up; `other`: unknown, taken for `stop`."""

_WORDS: Final[dict[StopReason, frozenset[str]]] = {
    "stop": frozenset({"stop", "end_turn", "stop_sequence", "eos", "eos_token", "end", "completed", "done"}),
    "length": frozenset({"length", "max_tokens", "model_length", "model_context_window_exceeded", "max_output_tokens"}),
    "tool_calls": frozenset({"tool_calls", "tool_use", "function_call", "tool_call"}),
    "content_filter": frozenset(
        {
            "content_filter",
            "content_filtered",
            "refusal",
            "sensitive",
            "safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "guardrail_intervened",
        }
    ),
    "error": frozenset(
        {
            "error",
            "abort",
            "cancelled",
            "timeout",
            "load",
            "unload",
            "network_error",
            "insufficient_system_resource",
            "malformed_function_call",
            "unexpected_tool_call",
        }
    ),
}
_BY_WORD: Final = {word: reason for reason, words in _WORDS.items() for word in words}


def normalise(word: str) -> StopReason:
    """Return the shared stop reason for a provider's own; some write it in capitals or with a prefix."""
    lower = word.lower()
    return _BY_WORD.get(lower) or _BY_WORD.get(lower.rpartition(":")[2].strip()) or "other"
