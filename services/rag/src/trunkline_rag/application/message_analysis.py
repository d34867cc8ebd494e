"""Analysis of a customer's message: its vector and its language, made once in a turn for all who need them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from trunkline_chassis.cache_metrics import count_lookup
from trunkline_chassis.logs import reason_of
from trunkline_embedding import CachedEmbedder, Embedder, EmbeddingError, Vectors, message_embedder, pack_vector
from trunkline_protocols.knowledge import AnalyseMessage, MessageAnalysed

from trunkline_rag.core.language import foreign_language

_log: Final = structlog.get_logger(__name__)
_MAX_CHARACTERS: Final = 8_000
_MIN_INTERVAL_S: Final = 0.01
"""Between two texts that are embedded in the event loop, which serves no other request meanwhile."""


class MessageAnalyser:
    """Analyses messages; its cache of vectors serves searches for the same messages too."""

    def __init__(
        self,
        embedder: Embedder | None,
        fingerprint: str,
        correct: Callable[[str], str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fingerprint` names the model; `correct` mends typing mistakes by the current vocabulary."""
        messages = message_embedder(embedder) if embedder is not None else None
        self._embedder = CachedEmbedder(messages, on_lookup=count_lookup) if messages is not None else None
        self._fingerprint = fingerprint
        self._correct = correct
        self._monotonic = monotonic
        self._next_inline_at = 0.0
        self.dimensions = messages.dimensions if messages is not None else 0
        """Length of a message vector; 0 without an embedder."""

    async def analyse(self, request: AnalyseMessage) -> MessageAnalysed:
        """Return vector, language and correction; without an embedder, or if it fails, there is no vector."""
        text = request.text[:_MAX_CHARACTERS]
        language = foreign_language(text, request.languages)
        corrected = self._correct(text)
        vectors = await self.vectors([corrected])
        analysed = MessageAnalysed(language=language, corrected=corrected if corrected != text else "")
        if vectors is None:
            return analysed
        return msgspec.structs.replace(analysed, embedder=self._fingerprint, vector=pack_vector(vectors[0]))

    async def vectors(self, texts: list[str]) -> Vectors | None:
        """Return the message vectors of corrected texts, None without an embedder or if it fails."""
        if self._embedder is None or not texts:
            return None
        cached = self._embedder.cached(texts)
        if cached is not None:
            return cached
        try:
            if self._may_block(texts, self._embedder):
                return self._embedder.embed(texts)
            return await asyncio.to_thread(self._embedder.embed, texts)
        except EmbeddingError as error:
            _log.warning("message.embedding_failed", error=reason_of(error))
            return None

    def _may_block(self, texts: list[str], embedder: Embedder) -> bool:
        """Return whether to embed in the event loop: short texts, one call per interval.

        The wake-up of a thread would add a tenth to the CPU time of a short text and half to its latency. Under load
        most calls go to threads all the same, which use other cores.
        """
        now = self._monotonic()
        if now < self._next_inline_at or sum(map(len, texts)) > embedder.quick_characters:
            return False
        self._next_inline_at = now + _MIN_INTERVAL_S
        return True
