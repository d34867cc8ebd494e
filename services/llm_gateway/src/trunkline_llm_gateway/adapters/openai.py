"""OpenAI-compatible chat completions: vLLM, llama.cpp, Ollama, LiteLLM and others speak them.

A stream that ends without a finish reason is an error: a cut answer is never passed off as a whole one. Servers report
a fault in mid-stream as an event with `error`; some do not number their tool calls, and some do not stream at all.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from trunkline_protocols.completion import Complete, ToolCall, ToolStep

from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.prompt import NOTHING, chat_messages
from trunkline_llm_gateway.ports import Call, ProviderError


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = True


class _Function(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class _AskedTool(msgspec.Struct, frozen=True):
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
    tool_calls: list[_AskedTool] = []
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


class _FunctionPiece(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolPiece(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _FunctionPiece = msgspec.field(default_factory=_FunctionPiece)


class _Piece(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolPiece] | None = None


class _Choice(msgspec.Struct):
    delta: _Piece | None = None
    message: _Piece | None = None
    finish_reason: str | None = None


class _UsageReport(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _UsageReport | None = None
    error: Any = None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final[msgspec.json.Decoder[_Chunk]] = msgspec.json.Decoder(_Chunk)


class OpenAI:
    """Chat completions."""

    path = "/chat/completions"

    def __init__(self, config: ProviderConfig) -> None:
        """`continues` says whether the server goes on with a text."""
        self._config = config

    def address(self, base_url: str) -> str:
        """As it is given."""
        return base_url

    def headers(self, key: str) -> dict[str, str]:
        """Carry the key as a bearer token."""
        return {"Authorization": f"Bearer {key}"} if key else {}

    def body(self, call: Call) -> bytes:
        """Write a request for a streamed completion, with a count of its tokens."""
        return _encode(self._request(call))

    def parser(self) -> _Parser:
        """Make a parser of chunks."""
        return _Parser(self._config.name)

    def _request(self, call: Call) -> _Request:
        request = call.request
        is_continued = bool(call.written) and self._config.continues == "vllm"
        return _Request(
            model=call.model,
            messages=_messages(request, call.written),
            max_tokens=request.max_tokens,
            stream=True,
            stream_options=_StreamOptions(),
            temperature=request.temperature,
            tools=[_Tool(_FunctionSpec(tool.name, tool.description, tool.parameters)) for tool in request.tools],
            continue_final_message=is_continued,
            add_generation_prompt=not is_continued,
        )


def _messages(request: Complete, written: str) -> list[_Message]:
    messages = [_Message(message.role, message.content) for message in chat_messages(request)]
    for step in request.tool_steps:
        messages.extend(_step(step))
    if written:
        messages.append(_Message("assistant", written))
    return messages


def _step(step: ToolStep) -> list[_Message]:
    asked = [_AskedTool(call.id, _Function(call.name, call.arguments)) for call in step.calls]
    return [
        _Message("assistant", step.text, tool_calls=asked),
        *(_Message("tool", outcome.text or NOTHING, tool_call_id=outcome.id) for outcome in step.outcomes),
    ]


class _Parser:
    """Understands the chunks of one completion."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_done = False
        self.is_over = False
        self.stop_reason = ""
        self.pieces = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.tool_calls: list[ToolCall] = []

    def take(self, payload: bytes) -> str:
        if payload == b"[DONE]":
            self.is_over = True
            return ""
        chunk = self._decoded(payload)
        if chunk.usage is not None:
            self.input_tokens = chunk.usage.prompt_tokens
            self.output_tokens = chunk.usage.completion_tokens
        return self._choice(chunk.choices[0]) if chunk.choices else ""

    def take_whole(self, body: bytes) -> str:
        self.is_over = True
        return self.take(body)

    def _decoded(self, payload: bytes) -> _Chunk:
        try:
            chunk = _decode.decode(payload)
        except msgspec.DecodeError as error:
            raise ProviderError("malformed", f"{self._name}: {error}") from error
        if chunk.error is not None:
            raise ProviderError("status", f"{self._name}: {str(chunk.error)[:300]}")
        return chunk

    def _choice(self, choice: _Choice) -> str:
        if choice.finish_reason:
            self.is_done = True
            self.stop_reason = choice.finish_reason
        piece = choice.delta or choice.message
        if piece is None:
            return ""
        for asked in piece.tool_calls or ():
            self._tool(asked)
        if not piece.content:
            return ""
        self.pieces += 1
        return piece.content

    def _tool(self, piece: _ToolPiece) -> None:
        """Gather a tool call: by its number, or, from servers that give none, by its id."""
        arguments = piece.function.arguments or ""
        position = piece.index
        if position is None:
            position = len(self.tool_calls) if piece.id or not self.tool_calls else len(self.tool_calls) - 1
        if position >= len(self.tool_calls):
            self.tool_calls.append(
                ToolCall(id=piece.id or f"call-{position}", name=piece.function.name or "", arguments="")
            )
            position = len(self.tool_calls) - 1
        call = self.tool_calls[position]
        self.tool_calls[position] = msgspec.structs.replace(call, arguments=call.arguments + arguments)
