"""What was embedded before is not embedded again, and is known without any work."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_embedding import CachedEmbedder, Vectors

from tests.support.embedders import LetterEmbedder


class Counting(LetterEmbedder):
    """Notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked.append(list(texts))
        return super().embed(texts)


def test_only_what_is_new_is_embedded() -> None:
    counted: list[tuple[str, int, int]] = []
    embedder = Counting()
    cached = CachedEmbedder(embedder, on_lookup=lambda *look: counted.append(look))
    first = cached.embed(["refund", "parcel"])
    again = cached.embed(["parcel", "router", "parcel"])
    assert embedder.asked == [["refund", "parcel"], ["router"]]
    assert (again[0] == first[1]).all()
    assert (again[0] == again[2]).all()
    assert counted == [("embedding", 0, 2), ("embedding", 2, 1)]


def test_what_is_kept_is_told_without_asking_the_embedder() -> None:
    embedder = Counting()
    cached = CachedEmbedder(embedder)
    assert cached.kept(["refund"]) is None
    embedded = cached.embed(["refund", "parcel"])
    kept = cached.kept(["parcel", "refund"])
    assert kept is not None
    assert (kept == embedded[::-1]).all()
    assert cached.kept(["parcel", "router"]) is None
    assert len(embedder.asked) == 1


def test_least_recently_used_goes_first() -> None:
    cached = CachedEmbedder(Counting(), capacity=2)
    cached.embed(["refund"])
    cached.embed(["parcel"])
    cached.embed(["refund"])
    cached.embed(["router"])
    assert cached.kept(["parcel"]) is None
    assert cached.kept(["refund", "router"]) is not None
