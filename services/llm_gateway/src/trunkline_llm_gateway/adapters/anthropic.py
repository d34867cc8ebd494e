"""Dialect of Anthropic's Messages API: a separate system text, answers in content blocks, usage at both ends.

Roles alternate and the user begins, so a leading message of the agent is omitted. A text is continued by a last message
of the assistant, which must not end in white space. `message_stop` ends a stream; without it the answer was truncated.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from trunkline_protocols import codec
from trunkline_protocols.completion import Complete
from trunkline_protocols.tool_steps import ToolCall, ToolStep

from trunkline_llm_gateway.adapters.answer_parser import AnswerParser
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.prompt import EMPTY_TOOL_RESULT, dialogue, system_text
from trunkline_llm_gateway.ports import Call, ProviderError

_VERSION: Final = "2023-06-01"
_STOP_REASONS: Final = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
_TRANSIENT_ERRORS: Final = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error"})
"""Errors that a retry may resolve."""


class _Block(msgspec.Struct, frozen=True, omit_defaults=True):
    """A content block, sent or received."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""
    content: str = ""
    is_error: bool = False


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: list[_Block]


class _Tool(msgspec.Struct, frozen=True):
    name: str
    description: str
    input_schema: dict[str, Any]


class _Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    messages: list[_Message]
    max_tokens: int
    system: str = ""
    stream: bool = False
    temperature: float | None = None
    tools: list[_Tool] = []


class _UsageReport(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _MessageStart(msgspec.Struct):
    usage: _UsageReport = msgspec.field(default_factory=_UsageReport)


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Event(msgspec.Struct):
    """All kinds of events in one shape; unknown kinds are skipped."""

    type: str
    message: _MessageStart | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _UsageReport | None = None
    error: _Error | None = None


class _Reply(msgspec.Struct):
    content: list[_Block]
    stop_reason: str | None = None
    usage: _UsageReport = msgspec.field(default_factory=_UsageReport)


_encode: Final = msgspec.json.Encoder().encode
_event_decoder: Final[codec.Decoder[_Event]] = codec.Decoder(_Event)
_reply_decoder: Final[codec.Decoder[_Reply]] = codec.Decoder(_Reply)


class Anthropic:
    """Messages API."""

    path = "/messages"

    def __init__(self, config: ProviderConfig) -> None:
        """Use the provider's name in errors."""
        self._name = config.name

    def api_url(self, base_url: str) -> str:
        """Return the URL with its version, which may be missing in the configuration."""
        return base_url if base_url.endswith("/v1") else f"{base_url}/v1"

    def headers(self, key: str) -> dict[str, str]:
        """Return the key in its own header, and the API version."""
        return {"anthropic-version": _VERSION, **({"x-api-key": key} if key else {})}

    def body(self, call: Call) -> bytes:
        """Return a request for a streamed message."""
        return _encode(_request(call))

    def parser(self) -> _Parser:
        """Return a parser for the events of one message."""
        return _Parser(self._name)


def _request(call: Call) -> _Request:
    request = call.request
    return _Request(
        model=call.model,
        messages=_messages(request, call.prefix),
        max_tokens=request.max_tokens,
        system=system_text(request),
        stream=True,
        temperature=request.temperature,
        tools=[_Tool(tool.name, tool.description, tool.parameters) for tool in request.tools],
    )


def _messages(request: Complete, prefix: str) -> list[_Message]:
    messages: list[_Message] = []
    for message in dialogue(request):
        block = _Block("text", text=message.content)
        if messages and messages[-1].role == message.role:
            messages[-1].content.append(block)
        elif messages or message.role == "user":
            messages.append(_Message(message.role, [block]))
    for step in request.tool_steps:
        messages.extend(_tool_messages(step))
    if prefix:
        messages.append(_Message("assistant", [_Block("text", text=prefix)]))
    return messages


def _tool_messages(step: ToolStep) -> list[_Message]:
    calls = [_Block("tool_use", id=call.id, name=call.name, input=_arguments(call)) for call in step.calls]
    texts = [_Block("text", text=step.text)] if step.text else []
    outcomes = [
        _Block(
            "tool_result", tool_use_id=outcome.id, content=outcome.text or EMPTY_TOOL_RESULT, is_error=outcome.failed
        )
        for outcome in step.outcomes
    ]
    return [_Message("assistant", [*texts, *calls]), _Message("user", outcomes)]


def _arguments(call: ToolCall) -> object:
    """Decode the arguments; invalid JSON, whose call had failed, is sent as an empty object."""
    try:
        return codec.decode(call.arguments, object)
    except codec.DecodeError:
        return {}


class _Parser(AnswerParser):
    """Parses the events of one message."""

    def feed(self, payload: bytes) -> str:
        event = self._decode(_event_decoder, payload)
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._feed_delta(event.delta)
            case "content_block_start" if event.content_block is not None:
                return self._start_block(event.content_block)
            case "message_start" if event.message is not None:
                self._record_usage(event.message.usage)
            case "message_delta":
                self._record_stop_reason(event.delta.stop_reason if event.delta is not None else None)
                self._record_usage(event.usage)
            case "message_stop":
                self.is_done = self.is_over = True
            case "error":
                raise self._event_error(event.error or _Error())
            case _:
                pass
        return ""

    def feed_whole(self, body: bytes) -> str:
        reply = self._decode(_reply_decoder, body)
        self._record_usage(reply.usage)
        self._record_stop_reason(reply.stop_reason)
        self.is_done = self.is_over = True
        for block in reply.content:
            if block.type == "tool_use":
                arguments = msgspec.json.encode(block.input if block.input is not None else {}).decode()
                self.tool_calls.append(ToolCall(id=block.id, name=block.name, arguments=arguments))
        text = "".join(block.text for block in reply.content if block.type == "text")
        self.pieces = len(text.split())
        return text

    def _feed_delta(self, delta: _Delta) -> str:
        if delta.type == "input_json_delta" and self.tool_calls:
            self._append_arguments(-1, delta.partial_json)
        if delta.type != "text_delta":
            return ""
        self.pieces += 1
        return delta.text

    def _start_block(self, block: _Block) -> str:
        if block.type == "tool_use":
            self.tool_calls.append(ToolCall(id=block.id, name=block.name, arguments=""))
        return block.text if block.type == "text" else ""

    def _record_stop_reason(self, reason: str | None) -> None:
        """Translate the stop reason to the values that all providers share."""
        if reason:
            self.stop_reason = _STOP_REASONS.get(reason, reason)

    def _record_usage(self, usage: _UsageReport | None) -> None:
        """Keep the latest counts: they are cumulative."""
        if usage is None:
            return
        if usage.input_tokens is not None:
            cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
            self.input_tokens = usage.input_tokens + cached
        if usage.output_tokens is not None:
            self.output_tokens = usage.output_tokens

    def _event_error(self, error: _Error) -> ProviderError:
        return self._status_error(f"{error.type}: {error.message}", retryable=error.type in _TRANSIENT_ERRORS)
