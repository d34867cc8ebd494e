"""Chunks of OpenAI-compatible chat completions: decoded as documented, and tolerantly where servers differ.

A chunk of the documented shape takes the fast way. Any other one is read field by field: what is of an unexpected type
is converted if its meaning is clear, else left out. Only bytes that are no JSON object are an error.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from trunkline_protocols import codec


class FunctionDelta(msgspec.Struct):
    """Part of a function's name and arguments."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(msgspec.Struct):
    """Part of a tool call."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class ChoiceDelta(msgspec.Struct):
    """Part of the answer, or the whole of it."""

    content: str | None = None
    refusal: str | None = None
    """The model's refusal, which some servers send in place of content."""
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None
    """Predecessor of `tool_calls`."""
    reasoning_content: str | None = None
    reasoning: str | None = None


class ChatChoice(msgspec.Struct):
    """One of the answers; only one is requested."""

    delta: ChoiceDelta | None = None
    message: ChoiceDelta | None = None
    finish_reason: str | None = None
    usage: Any = None


class ChatChunk(msgspec.Struct):
    """One event of a stream, or the whole reply."""

    choices: list[ChatChoice] | None = None
    usage: Any = None
    error: Any = None
    # Reports of usage and errors outside of their documented place.
    x_groq: Any = None
    timings: Any = None
    object: str | None = None
    message: Any = None
    detail: Any = None
    code: Any = None
    type: Any = None

    def groq_usage(self) -> Any:  # noqa: ANN401 - JSON of any shape
        """Return the report of usage in Groq's own field."""
        return self.x_groq.get("usage") if isinstance(self.x_groq, dict) else None

    def reported_error(self) -> Any:  # noqa: ANN401 - JSON of any shape
        """Return the error that the chunk reports, in its field or in place of the chunk; None without one."""
        if self.error:
            return self.error
        if self.choices is None and (self.object == "error" or ((self.message or self.detail) and not self.usage)):
            return {"message": self.message or self.detail, "code": self.code, "type": self.type}
        return None


_MAX_DEPTH: Final = 8
"""Nesting of content in parts."""
_MAX_INDEX_DIGITS: Final = 6
_MAX_INDEX: Final = 10**_MAX_INDEX_DIGITS

_decoder: Final[codec.Decoder[ChatChunk]] = codec.Decoder(ChatChunk)
_any_decoder: Final[codec.Decoder[Any]] = codec.Decoder(Any)


def decode_chunk(payload: bytes) -> ChatChunk:
    """Decode a chunk, whose strings may hold half characters; raise `DecodeError` if it is no JSON object."""
    try:
        return _decoder.decode(payload)
    except codec.DecodeError:
        fields = _any_decoder.decode_with_halves(payload)
    if isinstance(fields, list) and len(fields) == 1:
        fields = fields[0]
    if not isinstance(fields, dict):
        raise codec.ValidationError("Expected `object`")
    return ChatChunk(
        choices=_choices(fields.get("choices")),
        object=_text(fields.get("object")),
        **{
            name: fields.get(name)
            for name in ("usage", "error", "x_groq", "timings", "message", "detail", "code", "type")
        },
    )


def _choices(value: object) -> list[ChatChoice] | None:
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return None
    return [
        ChatChoice(
            delta=_delta(choice.get("delta")),
            message=_delta(choice.get("message")),
            finish_reason=_text(choice.get("finish_reason")),
            usage=choice.get("usage"),
        )
        for choice in value
        if isinstance(choice, dict)
    ]


def _delta(value: object) -> ChoiceDelta | None:
    if isinstance(value, str):
        return ChoiceDelta(content=value)
    if not isinstance(value, dict):
        return None
    thoughts: list[str] = []
    return ChoiceDelta(
        content=_content(value.get("content"), thoughts, _MAX_DEPTH),
        refusal=_text(value.get("refusal")),
        tool_calls=_tool_calls(value.get("tool_calls")),
        function_call=_function(value.get("function_call")),
        reasoning_content=_text(value.get("reasoning_content")) or "".join(thoughts) or None,
        reasoning=_text(value.get("reasoning")),
    )


def _content(value: object, thoughts: list[str], depth: int) -> str | None:
    """Return the text of content that is a string, a part, or a list of parts; collect parts that are thoughts."""
    if isinstance(value, str):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return "".join(_content(part, thoughts, depth - 1) or "" for part in value)
    if not isinstance(value, dict):
        return None
    thought = value.get("thinking") or value.get("reasoning")
    if thought is not None:
        thoughts.append(_content(thought, thoughts, depth - 1) or "")
        return None
    return _content(value.get("text"), thoughts, depth - 1)


def _tool_calls(value: object) -> list[ToolCallDelta] | None:
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return None
    return [
        ToolCallDelta(
            index=_index(call.get("index")), id=_text(call.get("id")), function=_function(call.get("function"))
        )
        for call in value
        if isinstance(call, dict)
    ]


def _function(value: object) -> FunctionDelta | None:
    """Return a function whose arguments are JSON text, or an object that stands for it."""
    if not isinstance(value, dict):
        return None
    arguments = value.get("arguments")
    if isinstance(arguments, dict | list):
        arguments = encoded(arguments)
    return FunctionDelta(name=_text(value.get("name")), arguments=_text(arguments))


def encoded(arguments: object) -> str:
    """Return arguments as JSON, empty if they are nested too deeply."""
    try:
        return codec.encode(arguments).decode()
    except RecursionError:
        return ""


def _text(value: object) -> str | None:
    """Return a string, or a number as one."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _index(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) <= _MAX_INDEX_DIGITS:
        return int(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return int(value) if abs(value) < _MAX_INDEX else None
