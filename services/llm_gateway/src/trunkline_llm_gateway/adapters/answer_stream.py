"""One streamed answer: parses payloads, removes what no reader may see, emits the text, and measures its times."""

from __future__ import annotations

import time

from trunkline_protocols.half_characters import HalfCharacterJoiner

from trunkline_llm_gateway.adapters.answer_parser import AnswerParser
from trunkline_llm_gateway.core.thoughts import ThoughtFilter, UnopenedThoughtError
from trunkline_llm_gateway.core.token_counts import utf8_size
from trunkline_llm_gateway.ports import Emit, ProviderError


class AnswerStream:
    """The text of one answer on its way; times are milliseconds."""

    def __init__(self, parser: AnswerParser, emit: Emit, thoughts: ThoughtFilter) -> None:
        """Start the clock."""
        self.parser = parser
        self.first_token_ms = 0.0
        self._emit = emit
        self._thoughts = thoughts
        self._joiner = HalfCharacterJoiner()
        self._text_size = 0
        self._started = time.perf_counter()

    @property
    def size(self) -> int:
        """Bytes that the model has written: text, thoughts and tool calls."""
        return self._text_size + self.parser.hidden_size + self.parser.tool_call_size

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the start."""
        return (time.perf_counter() - self._started) * 1000

    async def feed(self, payloads: list[bytes]) -> None:
        """Emit the text of payloads that arrived together as one piece, also the text that precedes a fault."""
        if len(payloads) == 1:
            await self._add(self.parser.feed(payloads[0]))
            return
        texts: list[str] = []
        try:
            for payload in payloads:
                texts.append(self.parser.feed(payload))
                if self.parser.is_over:
                    break
        finally:
            await self._add("".join(texts))

    async def feed_whole(self, body: bytes) -> None:
        """Emit the text of an answer that is not streamed."""
        await self._add(self.parser.feed_whole(body))

    async def finish(self) -> None:
        """Emit what was held back in expectation of further text."""
        text = self._filter(self._joiner.end())
        await self._emit_text(text + self._thoughts.end())

    async def _add(self, text: str) -> None:
        if text:
            await self._emit_text(self._filter(text))

    def _filter(self, text: str) -> str:
        """Return the text as far as it is complete and for the reader."""
        text = self._joiner.add(text)
        self._text_size += utf8_size(text)
        try:
            return self._thoughts.add(text)
        except UnopenedThoughtError as error:
            raise ProviderError("thoughts", f"{error} without its beginning") from error

    async def _emit_text(self, text: str) -> None:
        if not text:
            return
        if self.first_token_ms == 0.0:
            self.first_token_ms = self.elapsed_ms()
        await self._emit(text)
