"""Dialect of Anthropic's Messages API: a separate system text, answers in content blocks, usage at both ends.

Roles alternate and the user begins, so a leading message of the agent is omitted. A text is continued by a last message
of the assistant, which must not end in white space.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from trunkline_protocols import codec
from trunkline_protocols.completion import Complete
from trunkline_protocols.tool_steps import ToolCall, ToolStep

from trunkline_llm_gateway.adapters.message_parser import MessageParser
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.prompt import EMPTY_TOOL_RESULT, dialogue, system_text
from trunkline_llm_gateway.ports import Call

_VERSION: Final = "2023-06-01"


class _Block(msgspec.Struct, frozen=True, omit_defaults=True):
    """A content block."""

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


class Anthropic:
    """Messages API."""

    path = "/messages"

    def __init__(self, config: ProviderConfig) -> None:
        """Use the provider's name in errors, and the fields that it takes."""
        self._config = config

    def api_url(self, base_url: str) -> str:
        """Return the URL with its version, which may be missing in the configuration."""
        return base_url if base_url.endswith("/v1") else f"{base_url}/v1"

    def headers(self, key: str) -> dict[str, str]:
        """Return the key in its own header, and the API version."""
        return {"anthropic-version": _VERSION, **({"x-api-key": key} if key else {})}

    def body(self, call: Call) -> bytes:
        """Return a request for a streamed message."""
        request = self._request(call)
        extra = self._config.extra_body
        return codec.encode({**msgspec.to_builtins(request), **extra} if extra else request)

    def parser(self) -> MessageParser:
        """Return a parser for the events of one message."""
        return MessageParser(self._config.name)

    def _request(self, call: Call) -> _Request:
        config, request = self._config, call.request
        return _Request(
            model=call.model,
            messages=_messages(request, call.prefix),
            max_tokens=request.max_tokens + config.thinking_tokens,
            system=system_text(request),
            stream=True,
            temperature=request.temperature if config.sends_temperature else None,
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
