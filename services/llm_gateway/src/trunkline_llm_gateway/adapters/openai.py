"""Dialect of OpenAI-compatible chat completions, also served by vLLM, llama.cpp, Ollama, LiteLLM and others.

Servers differ in the fields that they take, so the configuration of a provider chooses them (`core/presets.py`).
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from trunkline_protocols import codec
from trunkline_protocols.completion import Complete
from trunkline_protocols.tool_steps import ToolStep

from trunkline_llm_gateway.adapters.chat_parser import ChatParser
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
    prefix: bool = False
    """Mistral's mark of a text to continue."""


class _Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    messages: list[_Message]
    max_tokens: int = 0
    max_completion_tokens: int = 0
    stream: bool = False
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    tools: list[_Tool] = []
    continue_final_message: bool = False
    add_generation_prompt: bool = True


_SHORT_ID: Final = 9


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
        request = self._request(call)
        extra = self._config.extra_body
        return codec.encode({**msgspec.to_builtins(request), **extra} if extra else request)

    def parser(self) -> ChatParser:
        """Return a parser for the chunks of one completion."""
        return ChatParser(self._config)

    def _request(self, call: Call) -> _Request:
        config, request = self._config, call.request
        is_vllm = bool(call.prefix) and config.continues == "vllm"
        max_tokens = request.max_tokens + config.thinking_tokens
        is_new = config.max_tokens_field == "max_completion_tokens"
        return _Request(
            model=call.model,
            messages=self._messages(request, call.prefix),
            max_tokens=0 if is_new else max_tokens,
            max_completion_tokens=max_tokens if is_new else 0,
            stream=True,
            stream_options=_StreamOptions() if config.stream_options else None,
            temperature=request.temperature if config.sends_temperature else None,
            tools=[_Tool(_FunctionSpec(tool.name, tool.description, tool.parameters)) for tool in request.tools],
            continue_final_message=is_vllm,
            add_generation_prompt=not is_vllm,
        )

    def _messages(self, request: Complete, prefix: str) -> list[_Message]:
        messages = [_Message(message.role, message.content) for message in chat_messages(request)]
        for step in request.tool_steps:
            messages.extend(self._tool_messages(step))
        if prefix:
            messages.append(_Message("assistant", prefix, prefix=self._config.continues == "mistral"))
        return messages

    def _tool_messages(self, step: ToolStep) -> list[_Message]:
        calls = [_ToolCall(self._call_id(call.id), _Function(call.name, call.arguments)) for call in step.calls]
        outcomes = [
            _Message("tool", outcome.text or EMPTY_TOOL_RESULT, tool_call_id=self._call_id(outcome.id))
            for outcome in step.outcomes
        ]
        return [_Message("assistant", step.text, tool_calls=calls), *outcomes]

    def _call_id(self, id_: str) -> str:
        """Return the id of a call as the server takes it; the call may be another provider's."""
        if self._config.tool_call_ids == "any" or (len(id_) == _SHORT_ID and id_.isascii() and id_.isalnum()):
            return id_
        return hashlib.sha256(id_.encode()).hexdigest()[:_SHORT_ID]
