"""Dialect of OpenAI-compatible chat completions, also served by vLLM, llama.cpp, Ollama, LiteLLM and others.

A stream that ends without a finish reason is an error: a truncated answer never counts as complete. Servers report a
fault in mid-stream as an event with `error`; some do not number their tool calls, and some do not stream at all.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from trunkline_protocols import codec
from trunkline_protocols.completion import Complete
from trunkline_protocols.tool_steps import ToolCall, ToolStep

from trunkline_llm_gateway.adapters.answer_parser import AnswerParser
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.prompt import EMPTY_TOOL_RESULT, chat_messages
from trunkline_llm_gateway.ports import Call


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = True


class _Function(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class _ToolCall(msgspec.Struct, frozen=True):
    id: str
    function: _Function
    type: str = "function"


class _FunctionSpec(msgspec.Struct, frozen=True):
    name: str
    description: str
    parameters: dict[str, Any]


class _Tool(msgspec.Struct, frozen=True):
    function: _FunctionSpec
    type: str = "function"


class _Message(msgspec.Struct, frozen=True, omit_defaults=True):
    role: str
    content: str = ""
    tool_calls: list[_ToolCall] = []
    tool_call_id: str = ""


class _Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    messages: list[_Message]
    max_tokens: int
    stream: bool = False
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    tools: list[_Tool] = []
    continue_final_message: bool = False
    add_generation_prompt: bool = True


class _FunctionDelta(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCallDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _FunctionDelta = msgspec.field(default_factory=_FunctionDelta)


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolCallDelta] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _UsageReport(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _UsageReport | None = None
    error: Any = None


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final[codec.Decoder[_Chunk]] = codec.Decoder(_Chunk)


class OpenAI:
    """Chat completions API."""

    path = "/chat/completions"

    def __init__(self, config: ProviderConfig) -> None:
        """Use the provider's name and its way to continue a text."""
        self._config = config

    def api_url(self, base_url: str) -> str:
        """Return the configured URL, which contains the version."""
        return base_url

    def headers(self, key: str) -> dict[str, str]:
        """Return the key as a bearer token."""
        return {"Authorization": f"Bearer {key}"} if key else {}

    def body(self, call: Call) -> bytes:
        """Return a request for a streamed completion that reports usage."""
        return _encode(self._request(call))

    def parser(self) -> _Parser:
        """Return a parser for the chunks of one completion."""
        return _Parser(self._config.name)

    def _request(self, call: Call) -> _Request:
        request = call.request
        is_continued = bool(call.prefix) and self._config.continues == "vllm"
        return _Request(
            model=call.model,
            messages=_messages(request, call.prefix),
            max_tokens=request.max_tokens,
            stream=True,
            stream_options=_StreamOptions(),
            temperature=request.temperature,
            tools=[_Tool(_FunctionSpec(tool.name, tool.description, tool.parameters)) for tool in request.tools],
            continue_final_message=is_continued,
            add_generation_prompt=not is_continued,
        )


def _messages(request: Complete, prefix: str) -> list[_Message]:
    messages = [_Message(message.role, message.content) for message in chat_messages(request)]
    for step in request.tool_steps:
        messages.extend(_tool_messages(step))
    if prefix:
        messages.append(_Message("assistant", prefix))
    return messages


def _tool_messages(step: ToolStep) -> list[_Message]:
    calls = [_ToolCall(call.id, _Function(call.name, call.arguments)) for call in step.calls]
    return [
        _Message("assistant", step.text, tool_calls=calls),
        *(_Message("tool", outcome.text or EMPTY_TOOL_RESULT, tool_call_id=outcome.id) for outcome in step.outcomes),
    ]


class _Parser(AnswerParser):
    """Parses the chunks of one completion."""

    def feed(self, payload: bytes) -> str:
        if payload == b"[DONE]":
            self.is_over = True
            return ""
        chunk = self._decode(_decoder, payload)
        if chunk.error is not None:
            raise self._status_error(str(chunk.error))
        if chunk.usage is not None:
            self.input_tokens = chunk.usage.prompt_tokens
            self.output_tokens = chunk.usage.completion_tokens
        return self._feed_choice(chunk.choices[0]) if chunk.choices else ""

    def feed_whole(self, body: bytes) -> str:
        self.is_over = True
        return self.feed(body)

    def _feed_choice(self, choice: _Choice) -> str:
        if choice.finish_reason:
            self.is_done = True
            self.stop_reason = choice.finish_reason
        delta = choice.delta or choice.message
        if delta is None:
            return ""
        for call in delta.tool_calls or ():
            self._feed_tool_call(call)
        if not delta.content:
            return ""
        self.pieces += 1
        return delta.content

    def _feed_tool_call(self, delta: _ToolCallDelta) -> None:
        """Assemble a tool call by its index or, for servers that send none, by its id."""
        position = delta.index
        if position is None:
            position = len(self.tool_calls) if delta.id or not self.tool_calls else len(self.tool_calls) - 1
        if position >= len(self.tool_calls):
            self.tool_calls.append(
                ToolCall(id=delta.id or f"call-{position}", name=delta.function.name or "", arguments="")
            )
            position = len(self.tool_calls) - 1
        self._append_arguments(position, delta.function.arguments or "")
