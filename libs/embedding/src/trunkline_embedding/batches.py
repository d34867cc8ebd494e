"""Batching of concurrent calls: a service embeds a list in hardly more time than one text.

If no request is in flight, a call is sent at once. While one is in flight, further calls are collected into a batch,
which is sent when it is full, when its few milliseconds have passed, or when the request in flight ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event, Lock
from typing import Final

from trunkline_embedding.port import Embedder, EmbeddingError, Vectors

MAX_WAIT_S: Final = 0.005
MAX_TEXTS: Final = 64


class _Batch:
    """Texts of several calls; the call that opened the batch sends it."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls = 0
        self.is_due = Event()
        self.vectors: Future[Vectors] = Future()

    def add(self, texts: Sequence[str]) -> slice:
        start = len(self.texts)
        self.texts.extend(texts)
        self.calls += 1
        return slice(start, len(self.texts))


class BatchedEmbedder:
    """Embedder that merges the calls of several threads into one request."""

    def __init__(self, embedder: Embedder, *, max_wait_s: float = MAX_WAIT_S, max_texts: int = MAX_TEXTS) -> None:
        """Send at most `max_texts` texts per batch; a call with that many texts is sent on its own."""
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self.vocabulary = embedder.vocabulary
        self.quick_characters = embedder.quick_characters
        self._embedder = embedder
        self._max_wait_s = max_wait_s
        self._max_texts = max_texts
        self._lock = Lock()
        self._open: _Batch | None = None
        self._in_flight = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed together with concurrent calls; if one call's text is refused, the other calls still succeed."""
        if len(texts) >= self._max_texts:
            return self._embedder.embed(texts)
        with self._lock:
            batch, is_leader = self._batch_for(len(texts))
            rows = batch.add(texts)
            if len(batch.texts) == self._max_texts:
                self._close(batch)
        if is_leader:
            self._send(batch)
        try:
            return batch.vectors.result()[rows]
        except EmbeddingError as error:
            if error.retryable or batch.calls == 1:
                raise
        # The service refused the list without naming the text: each call is retried on its own, once.
        return self._embedder.embed(texts)

    def _batch_for(self, count: int) -> tuple[_Batch, bool]:
        """Return the batch to join, and whether it is new."""
        batch = self._open
        if batch is not None and len(batch.texts) + count <= self._max_texts:
            return batch, False
        if batch is not None:
            self._close(batch)
        batch = self._open = _Batch()
        return batch, True

    def _close(self, batch: _Batch) -> None:
        """Accept no more calls and mark the batch as due."""
        if self._open is batch:
            self._open = None
        batch.is_due.set()

    def _send(self, batch: _Batch) -> None:
        if self._in_flight:
            batch.is_due.wait(self._max_wait_s)
        with self._lock:
            self._close(batch)
            self._in_flight += 1
        try:
            batch.vectors.set_result(self._embedder.embed(batch.texts))
        except BaseException as error:  # the other calls of the batch wait for a result or an error, whatever it is
            batch.vectors.set_exception(error)
        finally:
            with self._lock:
                self._in_flight -= 1
                if self._open is not None and not self._in_flight:
                    self._open.is_due.set()
