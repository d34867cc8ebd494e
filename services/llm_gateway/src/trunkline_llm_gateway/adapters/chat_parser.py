"""Parser of OpenAI-compatible answers: text, tool calls, stop reason and usage of one completion.

An answer without a finish reason is truncated, unless its provider is configured to end with `[DONE]`. Some servers
send a finish reason in every chunk: if text follows one, the answer ends with `[DONE]` or the end of the response.
"""

from __future__ import annotations

from trunkline_llm_gateway.adapters.answer_parser import AnswerParser
from trunkline_llm_gateway.adapters.chat_chunks import ChatChoice, ChoiceDelta, FunctionDelta, decode_chunk
from trunkline_llm_gateway.core.config import ProviderConfig


class ChatParser(AnswerParser):
    """Parses the chunks of one completion."""

    def __init__(self, config: ProviderConfig) -> None:
        """Use the provider's name in errors, and its sign of a complete answer."""
        super().__init__(config.name)
        self._ends_with_marker = config.ends_with == "done"
        self._has_text = False
        self._is_finished = False
        """The latest choice had a finish reason."""
        self._finishes_early = False

    def end_of_stream(self) -> None:
        """Complete an answer whose last choice had a finish reason."""
        super().end_of_stream()
        self.is_done = self.is_done or self._is_finished

    def _feed(self, payload: bytes) -> str:
        chunk = decode_chunk(payload)
        if (chunk.error or chunk.choices is None) and (error := chunk.reported_error()) is not None:
            raise self._reported(error)
        if chunk.usage is not None:
            self._record_usage(chunk.usage)
        if chunk.timings is not None or chunk.x_groq is not None:
            self._record_usage(chunk.timings)
            self._record_usage(chunk.groq_usage())
        return self._feed_choice(chunk.choices[0]) if chunk.choices else ""

    def _feed_whole(self, body: bytes) -> str:
        text = self._feed(body)
        # JSON that is complete is a complete answer, if it is one at all.
        self.is_done = self.is_done or bool(text) or self._calls.size > 0
        return text

    def _end_at_marker(self) -> None:
        super()._end_at_marker()
        self.is_done = self.is_done or self._is_finished or (self._ends_with_marker and self._has_answer())

    def _has_answer(self) -> bool:
        return self._has_text or self._calls.size > 0

    def _feed_choice(self, choice: ChatChoice) -> str:
        if choice.usage is not None:
            self._record_usage(choice.usage)
        text = self._feed_delta(self._delta(choice))
        self._is_finished = bool(choice.finish_reason)
        self._record_stop(choice.finish_reason)
        if self._is_finished and not self._finishes_early:
            self.is_done = True
        return text

    def _delta(self, choice: ChatChoice) -> ChoiceDelta | None:
        """Return the delta; a whole message in a stream counts only if no text came before it."""
        if choice.delta is not None:
            return choice.delta
        return None if self._has_text else choice.message

    def _feed_delta(self, delta: ChoiceDelta | None) -> str:
        if delta is None:
            return ""
        for call in delta.tool_calls or ():
            self._feed_call(call.id or "", call.index, call.function)
        if delta.function_call is not None:
            self._feed_call("", 0, delta.function_call)
        self._record_thoughts(delta.reasoning_content or delta.reasoning)
        text = delta.content or delta.refusal or ""
        if not text:
            return ""
        if self.is_done and not self.is_over:
            self._finishes_early, self.is_done = True, False
            self.oddities.add("text_after_finish_reason")
        self._has_text = True
        return text

    def _feed_call(self, id_: str, index: int | None, function: FunctionDelta | None) -> None:
        name, arguments = (function.name or "", function.arguments or "") if function is not None else ("", "")
        self._calls.add(id_=id_, index=index, name=name, arguments=arguments)
