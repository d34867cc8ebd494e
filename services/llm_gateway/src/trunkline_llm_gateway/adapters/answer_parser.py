"""Parsing of a provider's answer: the state and the faults that all API dialects share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from trunkline_protocols import codec
from trunkline_protocols.tool_steps import ToolCall

from trunkline_llm_gateway.core.stop_reasons import StopReason, normalise
from trunkline_llm_gateway.core.token_counts import TokenCounts, reported_tokens, utf8_size
from trunkline_llm_gateway.core.tool_call_assembly import ToolCallAssembler
from trunkline_llm_gateway.core.upstream_faults import classify, describe
from trunkline_llm_gateway.ports import ProviderError

DONE: Final = b"[DONE]"
_MAX_REASON_CHARACTERS: Final = 40


class AnswerParser(ABC):
    """Parses the payloads of one answer and accumulates everything but its text."""

    def __init__(self, provider: str) -> None:
        """`provider` is the name in error messages."""
        self.is_done = False
        """The answer is complete: the provider has given its stop reason."""
        self.is_over = False
        """No further payload follows, not even usage."""
        self.counts = TokenCounts()
        """As reported by the server; 0 if it reports none."""
        self.hidden_size = 0
        """Bytes of the thoughts that arrived in fields of their own."""
        self.oddities: set[str] = set()
        """Faults that did not harm the answer, by kind."""
        self._provider = provider
        self._stop_word = ""
        self._calls = ToolCallAssembler()

    @property
    def stop_reason(self) -> StopReason:
        """Return why the answer ended: `stop` if the server gives no reason."""
        return normalise(self._stop_word) if self._stop_word else "stop"

    @property
    def stop_word(self) -> str:
        """Return the stop reason, in the provider's own word if it is unknown."""
        return self._stop_word[:_MAX_REASON_CHARACTERS] if self.stop_reason == "other" else self.stop_reason

    @property
    def tool_call_size(self) -> int:
        """Return the characters of all tool calls."""
        return self._calls.size

    def tool_calls(self) -> list[ToolCall]:
        """Return the assembled tool calls."""
        calls = self._calls.calls()
        if self._calls.dropped:
            self.oddities.add("dropped_call")
        return calls

    def feed(self, payload: bytes) -> str:
        """Parse one payload of a stream and return its text; raise `ProviderError` for a fault.

        The text may hold half characters at its ends.
        """
        if not payload.startswith(b"{"):
            payload = payload.strip()
            if not payload:
                return ""
            if payload == DONE:
                self._end_at_marker()
                return ""
        try:
            return self._feed(payload)
        except codec.DecodeError as error:
            lines = payload.split(b"\n")
            if len(lines) > 1:
                # Some servers write one line break between events instead of two.
                self.oddities.add("undivided_events")
                return "".join([self.feed(line.removeprefix(b"data:")) for line in lines])
            raise ProviderError("malformed", f"{self._provider}: {error}") from error

    def feed_whole(self, body: bytes) -> str:
        """Parse an answer that is not streamed and return its text; raise `ProviderError` for a fault."""
        self.is_over = True
        try:
            return self._feed_whole(body)
        except codec.DecodeError as error:
            raise ProviderError("malformed", f"{self._provider}: {error}") from error

    def end_of_stream(self) -> None:
        """Take the regular end of the response, which may complete an answer."""
        self.is_over = True

    @abstractmethod
    def _feed(self, payload: bytes) -> str:
        """Parse one payload; raise `DecodeError` or `ProviderError`."""

    @abstractmethod
    def _feed_whole(self, body: bytes) -> str:
        """Parse an answer that is not streamed; raise `DecodeError` or `ProviderError`."""

    def _end_at_marker(self) -> None:
        """Take the event that ends the stream."""
        self.is_over = True

    def _record_stop(self, word: str | None) -> None:
        """Keep the latest stop reason; the withdrawal of a text is final."""
        if word and self.stop_reason != "content_filter":
            self._stop_word = word

    def _record_usage(self, report: object) -> None:
        self.counts = self.counts.merge(reported_tokens(report))

    def _record_thoughts(self, text: str | None) -> None:
        if text:
            self.hidden_size += utf8_size(text)

    def _reported(self, error: object) -> ProviderError:
        """Return the error for a fault that the server reports in its answer."""
        fault = classify(error)
        return ProviderError(fault.code, f"{self._provider}: {describe(error)}", retryable=fault.is_retryable)
