"""Client of an embedding service with OpenAI's API."""

from __future__ import annotations

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
from trunkline_protocols.decoding import Decoder

from trunkline_embedding.port import EmbeddingError, Vectors

_MAX_BATCH: Final = 64
_MAX_ATTEMPTS: Final = 3
_FIRST_BACKOFF_S: Final = 0.2
_MAX_CHARACTERS: Final = 8_000


class _Row(msgspec.Struct):
    index: int
    embedding: list[float]


class _Reply(msgspec.Struct):
    data: list[_Row]


_decode: Final = Decoder[_Reply](_Reply).decode


class RemoteEmbedder:
    """Embedder that sends batches and retries transient failures."""

    def __init__(self, url: str, model: str, *, key: str = "", timeout_s: float = 10.0) -> None:
        """Connect to `url`, which ends before `/embeddings`; one request determines the dimensions."""
        self._url = f"{url.rstrip('/')}/embeddings"
        self._model = model
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(timeout=timeout_s, headers=headers)
        self.dimensions = self._embed_batch(["dimensions"]).shape[1]
        self.vocabulary: frozenset[str] = frozenset()
        self.quick_characters = 0
        self.name = f"remote-{urlsplit(url).hostname}-{model}-{self.dimensions}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed one batch after another."""
        parts = [self._embed_batch(texts[start : start + _MAX_BATCH]) for start in range(0, len(texts), _MAX_BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.dimensions), dtype=np.float32)

    def _embed_batch(self, texts: Sequence[str]) -> Vectors:
        # Most services refuse an empty text, which has no meaning anyway.
        body: dict[str, object] = {"model": self._model, "input": [text[:_MAX_CHARACTERS] or " " for text in texts]}
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                return self._request(body, len(texts))
            except EmbeddingError as error:
                if not error.retryable or attempt == _MAX_ATTEMPTS:
                    raise
                time.sleep(_FIRST_BACKOFF_S * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _request(self, body: dict[str, object], count: int) -> Vectors:
        try:
            reply = self._client.post(self._url, json=body)
        except httpx.HTTPError as error:
            raise EmbeddingError(f"{self._url}: {type(error).__name__}", retryable=True) from error
        if reply.status_code != HTTPStatus.OK:
            # Without the body: services repeat the text that they refuse.
            retryable = reply.status_code == HTTPStatus.TOO_MANY_REQUESTS or reply.is_server_error
            raise EmbeddingError(f"{self._url}: status {reply.status_code}", retryable=retryable)
        try:
            rows = sorted(_decode(reply.content).data, key=lambda row: row.index)
            vectors = np.array([row.embedding for row in rows], dtype=np.float32)
        except ValueError as error:
            raise EmbeddingError(f"{self._url}: not an embedding reply: {error}", retryable=False) from error
        if vectors.ndim != 2 or len(vectors) != count:  # noqa: PLR2004 - a matrix
            raise EmbeddingError(f"{self._url}: {len(vectors)} vectors for {count} texts", retryable=False)
        unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit
