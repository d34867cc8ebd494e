"""Analysis of a customer's message: its vector and its language, made once in a turn for all who need them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from trunkline_chassis.cache_metrics import count_lookup
from trunkline_chassis.logs import reason_of
from trunkline_embedding import CachedEmbedder, Embedder, EmbeddingError, Vectors, message_embedder, pack
from trunkline_protocols.knowledge import AnalyseMessage, MessageAnalysed

from trunkline_rag.core.language import foreign_language

_log: Final = structlog.get_logger(__name__)
_MAX_CHARACTERS: Final = 8_000


class MessageAnalyser:
    """Analyses messages; its cache of vectors serves searches for the same messages too."""

    def __init__(self, embedder: Embedder | None, fingerprint: str, correct: Callable[[str], str]) -> None:
        """`fingerprint` names the model; `correct` mends typing mistakes by the current vocabulary."""
        messages = message_embedder(embedder) if embedder is not None else None
        self._embedder = CachedEmbedder(messages, on_lookup=count_lookup) if messages is not None else None
        self._fingerprint = fingerprint
        self._correct = correct
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
        return msgspec.structs.replace(analysed, embedder=self._fingerprint, vector=pack(vectors)[0])

    async def vectors(self, texts: list[str]) -> Vectors | None:
        """Return the message vectors of corrected texts, None without an embedder or if it fails."""
        if self._embedder is None or not texts:
            return None
        cached = self._embedder.cached(texts)
        if cached is not None:
            return cached
        try:
            return await asyncio.to_thread(self._embedder.embed, texts)
        except EmbeddingError as error:
            _log.warning("message.embedding_failed", error=reason_of(error))
            return None
