"""The text of one completion across all its attempts."""

from __future__ import annotations

from trunkline_protocols.accounting import ProviderAttempt

from trunkline_llm_gateway.application.deltas import DeltaStream
from trunkline_llm_gateway.core.continuation import Continuation


class CompletionBuffer:
    """Accumulates the text and forwards it as deltas."""

    def __init__(self, stream: DeltaStream | None) -> None:
        """`stream` delivers deltas to the customer; None if the completion is not streamed."""
        self.attempts: list[ProviderAttempt] = []
        self._stream = stream
        self._pieces: list[str] = []
        self._continuation: Continuation | None = None

    @property
    def text(self) -> str:
        """The whole text so far."""
        return "".join(self._pieces)

    @property
    def is_begun(self) -> bool:
        """Return whether there is any text yet."""
        return bool(self._pieces)

    def begin(self, *, continues: bool) -> str:
        """Begin the next attempt; return the text that it continues, empty if it starts from the beginning."""
        self._continuation = None
        if not self._pieces:
            return ""
        if continues and (continuation := Continuation(self.text)).prefix:
            self._continuation = continuation
            return continuation.prefix
        self._pieces.clear()
        if self._stream is not None:
            self._stream.restart()
        return ""

    async def add(self, piece: str) -> None:
        """Append the next piece of the current attempt."""
        if self._continuation is not None:
            piece = self._continuation.add(piece)
        if not piece:
            return
        self._pieces.append(piece)
        if self._stream is not None:
            await self._stream.add(piece)

    async def withdraw(self) -> None:
        """Withdraw the whole text, also from the customer's screen."""
        self._continuation = None
        self._pieces.clear()
        if self._stream is not None:
            await self._stream.withdraw()

    async def end_part(self) -> None:
        """Append text held back by the continuation."""
        if self._continuation is not None and (rest := self._continuation.end()):
            self._pieces.append(rest)
            if self._stream is not None:
                await self._stream.add(rest)

    async def end(self, *, is_answer: bool = True) -> None:
        """End the text; one that is no answer, because tools are called next, is shown up to its last piece."""
        await self.end_part()
        if self._stream is None:
            return
        if is_answer:
            self._stream.end()
        else:
            await self._stream.flush()
