"""Calls that come together are one request: a service embeds a list in hardly more time than one text.

A call that comes while nothing is under way goes at once. While a request is under way the next ones gather, until
their group is full or has waited its few milliseconds; then it goes too, whatever the other does.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event, Lock
from typing import Final

from trunkline_embedding.port import Embedder, EmbeddingError, Vectors

LONGEST_WAIT_S: Final = 0.005
MOST_TEXTS: Final = 64


class _Group:
    """Texts of several calls; who opened it asks for all of them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls = 0
        self.may_go = Event()
        self.vectors: Future[Vectors] = Future()

    def join(self, texts: Sequence[str]) -> slice:
        start = len(self.texts)
        self.texts.extend(texts)
        self.calls += 1
        return slice(start, len(self.texts))


class GroupedEmbedder:
    """Groups the calls of threads."""

    def __init__(self, embedder: Embedder, *, longest_wait_s: float = LONGEST_WAIT_S, most: int = MOST_TEXTS) -> None:
        """`most` is how many texts go into one request; a call that brings as many goes alone."""
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self._embedder = embedder
        self._longest_wait_s = longest_wait_s
        self._most = most
        self._lock = Lock()
        self._gathering: _Group | None = None
        self._under_way = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed with whoever asks at the same time; one call's refusal is not its neighbours'."""
        if len(texts) >= self._most:
            return self._embedder.embed(texts)
        with self._lock:
            group, leads = self._group_for(len(texts))
            mine = group.join(texts)
            if len(group.texts) == self._most:
                self._close(group)
        if leads:
            self._ask(group)
        try:
            return group.vectors.result()[mine]
        except EmbeddingError as error:
            if error.retryable or group.calls == 1:
                raise
        # The service refused the list and does not say for whose text: each call is asked for alone, once.
        return self._embedder.embed(texts)

    def _group_for(self, count: int) -> tuple[_Group, bool]:
        """Return the group to join, and whether it is a new one."""
        group = self._gathering
        if group is not None and len(group.texts) + count <= self._most:
            return group, False
        if group is not None:
            self._close(group)
        group = self._gathering = _Group()
        return group, True

    def _close(self, group: _Group) -> None:
        """Let nobody join any more."""
        if self._gathering is group:
            self._gathering = None
        group.may_go.set()

    def _ask(self, group: _Group) -> None:
        if self._under_way:
            group.may_go.wait(self._longest_wait_s)
        with self._lock:
            self._close(group)
            self._under_way += 1
        try:
            group.vectors.set_result(self._embedder.embed(group.texts))
        except BaseException as error:  # whatever it is, those who wait must hear of it
            group.vectors.set_exception(error)
        finally:
            with self._lock:
                self._under_way -= 1
                if self._gathering is not None and not self._under_way:
                    self._gathering.may_go.set()
