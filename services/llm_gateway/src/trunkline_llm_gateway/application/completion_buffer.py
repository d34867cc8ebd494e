"""One completion over all its tries: what the customer has been shown, and who wrote it."""

from __future__ import annotations

from trunkline_protocols.accounting import ProviderAttempt

from trunkline_llm_gateway.application.deltas import DeltaStream
from trunkline_llm_gateway.core.continuation import Continuation


class CompletionBuffer:
    """The text so far: what the deltas amount to, or will with the next piece."""

    def __init__(self, stream: DeltaStream | None) -> None:
        """`stream` shows it to the customer; None: nobody watches."""
        self.attempts: list[ProviderAttempt] = []
        self._stream = stream
        self._pieces: list[str] = []
        self._continuation: Continuation | None = None

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._pieces)

    @property
    def is_begun(self) -> bool:
        """Whether there is any text yet."""
        return bool(self._pieces)

    def begin(self, *, continues: bool) -> str:
        """Begin the next try, and return the text that it is to go on with; empty when it begins anew."""
        self._continuation = None
        if not self._pieces:
            return ""
        if continues and (continuation := Continuation(self.text)).given:
            self._continuation = continuation
            return continuation.given
        self._pieces.clear()
        if self._stream is not None:
            self._stream.start_anew()
        return ""

    async def add(self, piece: str) -> None:
        """Take the next piece of the try that writes."""
        if self._continuation is not None:
            piece = self._continuation.add(piece)
        if not piece:
            return
        self._pieces.append(piece)
        if self._stream is not None:
            await self._stream.add(piece)

    async def end(self) -> None:
        """Show what is still held back."""
        if self._continuation is not None and (rest := self._continuation.end()):
            self._pieces.append(rest)
            if self._stream is not None:
                await self._stream.add(rest)
        if self._stream is not None:
            await self._stream.flush()
