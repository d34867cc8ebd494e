"""The embedding cache: cached texts are not embedded again, and the least recently used go first."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_embedding import CachedEmbedder, Vectors

from tests.support.embedders import LetterEmbedder


class RecordingEmbedder(LetterEmbedder):
    """Embedder that records the texts of every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        return super().embed(texts)


def test_only_new_texts_are_embedded() -> None:
    lookups: list[tuple[str, int, int]] = []
    embedder = RecordingEmbedder()
    cache = CachedEmbedder(embedder, on_lookup=lambda *lookup: lookups.append(lookup))
    first = cache.embed(["refund", "parcel"])
    again = cache.embed(["parcel", "router", "parcel"])
    assert embedder.calls == [["refund", "parcel"], ["router"]]
    assert (again[0] == first[1]).all()
    assert (again[0] == again[2]).all()
    assert lookups == [("embedding", 0, 2), ("embedding", 2, 1)]


def test_cached_vectors_are_returned_without_the_embedder() -> None:
    embedder = RecordingEmbedder()
    cache = CachedEmbedder(embedder)
    assert cache.cached(["refund"]) is None
    embedded = cache.embed(["refund", "parcel"])
    cached = cache.cached(["parcel", "refund"])
    assert cached is not None
    assert (cached == embedded[::-1]).all()
    assert cache.cached(["parcel", "router"]) is None
    assert len(embedder.calls) == 1


def test_least_recently_used_text_is_evicted_first() -> None:
    cache = CachedEmbedder(RecordingEmbedder(), capacity=2)
    cache.embed(["refund"])
    cache.embed(["parcel"])
    cache.embed(["refund"])
    cache.embed(["router"])
    assert cache.cached(["parcel"]) is None
    assert cache.cached(["refund", "router"]) is not None
