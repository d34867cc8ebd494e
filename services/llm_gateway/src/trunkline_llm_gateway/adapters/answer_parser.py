"""Parsing of a provider's answer: the state and the faults that all API dialects share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import msgspec
from trunkline_protocols import codec
from trunkline_protocols.tool_steps import ToolCall

from trunkline_llm_gateway.ports import ProviderError

T = TypeVar("T")


class AnswerParser(ABC):
    """Parses the payloads of one answer and accumulates everything but its text."""

    def __init__(self, provider: str) -> None:
        """`provider` is the name in error messages."""
        self._provider = provider
        self.is_done = False
        """The answer is complete: the provider has given its stop reason."""
        self.is_over = False
        """No further payload follows, not even usage."""
        self.stop_reason = ""
        """`stop`, `length`, `tool_calls` or a value specific to the provider."""
        self.tool_calls: list[ToolCall] = []
        self.pieces = 0
        self.input_tokens = 0
        """As reported by the server; 0 if it reports none."""
        self.output_tokens = 0

    @abstractmethod
    def feed(self, payload: bytes) -> str:
        """Parse one payload of a stream and return its text; raise `ProviderError` for a fault."""

    @abstractmethod
    def feed_whole(self, body: bytes) -> str:
        """Parse an answer that is not streamed and return its text; raise `ProviderError` for a fault."""

    def _decode(self, decoder: codec.Decoder[T], payload: bytes) -> T:
        try:
            return decoder.decode(payload)
        except codec.DecodeError as error:
            raise ProviderError("malformed", f"{self._provider}: {error}") from error

    def _status_error(self, reason: str, *, retryable: bool = True) -> ProviderError:
        """Return the error of a fault that the server reports in its answer."""
        return ProviderError("status", f"{self._provider}: {reason[:300]}", retryable=retryable)

    def _append_arguments(self, position: int, arguments: str) -> None:
        """Append a fragment of JSON to the arguments of a tool call."""
        call = self.tool_calls[position]
        self.tool_calls[position] = msgspec.structs.replace(call, arguments=call.arguments + arguments)
