"""Anthropic's messages: the system text beside them, answers in content blocks, tokens counted at both ends.

Roles alternate and the customer begins, so what an agent said first is told in the system text's place: left out. A
text is continued by a last message of the assistant, which must not end in white space. `message_stop` ends a stream;
without it the answer was cut.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from trunkline_protocols.completion import Complete, ToolCall, ToolStep

from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.prompt import NOTHING, said_so_far, system_text
from trunkline_llm_gateway.ports import Call, ProviderError

_VERSION: Final = "2023-06-01"
_STOP_REASONS: Final = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
_PASSING: Final = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error"})
"""Errors that go away by themselves."""


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


class _Started(msgspec.Struct):
    usage: _UsageReport = msgspec.field(default_factory=_UsageReport)


class _Fault(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Event(msgspec.Struct):
    """Every kind of event in one shape; kinds that we do not know are skipped."""

    type: str
    message: _Started | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _UsageReport | None = None
    error: _Fault | None = None


class _Whole(msgspec.Struct):
    content: list[_Block]
    stop_reason: str | None = None
    usage: _UsageReport = msgspec.field(default_factory=_UsageReport)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final[msgspec.json.Decoder[_Event]] = msgspec.json.Decoder(_Event)
_decode_whole: Final[msgspec.json.Decoder[_Whole]] = msgspec.json.Decoder(_Whole)


class Anthropic:
    """Messages."""

    path = "/messages"

    def __init__(self, config: ProviderConfig) -> None:
        """Nothing depends on more than the name."""
        self._name = config.name

    def address(self, base_url: str) -> str:
        """It may end in the version or not."""
        return base_url if base_url.endswith("/v1") else f"{base_url}/v1"

    def headers(self, key: str) -> dict[str, str]:
        """Carry the key in a header of its own, and the version that we speak."""
        return {"anthropic-version": _VERSION, **({"x-api-key": key} if key else {})}

    def body(self, call: Call) -> bytes:
        """Write a request for a streamed message."""
        return _encode(_request(call))

    def parser(self) -> _Parser:
        """Make a parser of events."""
        return _Parser(self._name)


def _request(call: Call) -> _Request:
    request = call.request
    return _Request(
        model=call.model,
        messages=_messages(request, call.written),
        max_tokens=request.max_tokens,
        system=system_text(request),
        stream=True,
        temperature=request.temperature,
        tools=[_Tool(tool.name, tool.description, tool.parameters) for tool in request.tools],
    )


def _messages(request: Complete, written: str) -> list[_Message]:
    messages: list[_Message] = []
    for said in said_so_far(request):
        block = _Block("text", text=said.content)
        if messages and messages[-1].role == said.role:
            messages[-1].content.append(block)
        elif messages or said.role == "user":
            messages.append(_Message(said.role, [block]))
    for step in request.tool_steps:
        messages.extend(_step(step))
    if written:
        messages.append(_Message("assistant", [_Block("text", text=written)]))
    return messages


def _step(step: ToolStep) -> list[_Message]:
    asked = [_Block("tool_use", id=call.id, name=call.name, input=_arguments(call)) for call in step.calls]
    said = [_Block("text", text=step.text)] if step.text else []
    outcomes = [
        _Block("tool_result", tool_use_id=outcome.id, content=outcome.text or NOTHING, is_error=outcome.failed)
        for outcome in step.outcomes
    ]
    return [_Message("assistant", [*said, *asked]), _Message("user", outcomes)]


def _arguments(call: ToolCall) -> object:
    """Return the arguments as JSON again; what a model wrote wrongly was answered as a failure and is sent as none."""
    try:
        return msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        return {}


class _Parser:
    """Understands the events of one message."""

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
        try:
            event = _decode.decode(payload)
        except msgspec.DecodeError as error:
            raise ProviderError("malformed", f"{self._name}: {error}") from error
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._piece(event.delta)
            case "content_block_start" if event.content_block is not None:
                return self._block(event.content_block)
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
            case "message_delta":
                self._stop(event.delta.stop_reason if event.delta is not None else None)
                self._count(event.usage)
            case "message_stop":
                self.is_done = self.is_over = True
            case "error":
                raise self._fault(event.error or _Fault())
            case _:
                pass
        return ""

    def take_whole(self, body: bytes) -> str:
        try:
            whole = _decode_whole.decode(body)
        except msgspec.DecodeError as error:
            raise ProviderError("malformed", f"{self._name}: {error}") from error
        self._count(whole.usage)
        self._stop(whole.stop_reason)
        self.is_done = self.is_over = True
        for block in whole.content:
            if block.type == "tool_use":
                arguments = msgspec.json.encode(block.input if block.input is not None else {}).decode()
                self.tool_calls.append(ToolCall(id=block.id, name=block.name, arguments=arguments))
        text = "".join(block.text for block in whole.content if block.type == "text")
        self.pieces = len(text.split())
        return text

    def _piece(self, delta: _Delta) -> str:
        if delta.type == "input_json_delta" and self.tool_calls:
            call = self.tool_calls[-1]
            self.tool_calls[-1] = msgspec.structs.replace(call, arguments=call.arguments + delta.partial_json)
        if delta.type != "text_delta":
            return ""
        self.pieces += 1
        return delta.text

    def _block(self, block: _Block) -> str:
        if block.type == "tool_use":
            self.tool_calls.append(ToolCall(id=block.id, name=block.name, arguments=""))
        return block.text if block.type == "text" else ""

    def _stop(self, reason: str | None) -> None:
        """Translate into the words that all providers share."""
        if reason:
            self.stop_reason = _STOP_REASONS.get(reason, reason)

    def _count(self, usage: _UsageReport | None) -> None:
        """Numbers grow from report to report: the last one counts."""
        if usage is None:
            return
        if usage.input_tokens is not None:
            cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
            self.input_tokens = usage.input_tokens + cached
        if usage.output_tokens is not None:
            self.output_tokens = usage.output_tokens

    def _fault(self, fault: _Fault) -> ProviderError:
        return ProviderError(
            "status", f"{self._name}: {fault.type}: {fault.message[:300]}", retryable=fault.type in _PASSING
        )
