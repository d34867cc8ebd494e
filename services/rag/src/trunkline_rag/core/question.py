"""The search question: sentences that are searched as separate queries, with their terms and optional vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sentencex import segment
from trunkline_language.terms import terms

Vectors: TypeAlias = NDArray[np.float32]
"""One row per text."""

MAX_SENTENCES: Final = 48
"""About a page of text; later sentences cost time and find nothing new."""

_MAX_CHARACTERS: Final = 8_000


@dataclass(frozen=True, slots=True)
class SearchQuestion:
    """Sentences that contain at least one term, their terms, and optionally one vector per sentence."""

    sentences: list[str]
    terms: list[list[str]]
    vectors: Vectors | None = None

    def with_vectors(self, vectors: Vectors) -> SearchQuestion:
        """Return a copy with one vector per sentence."""
        return replace(self, vectors=vectors)


def read_question(query: str) -> SearchQuestion:
    """Split a query into sentences, without vectors: long messages cover several subjects."""
    found = [
        (sentence.strip(), words) for sentence in segment("en", query[:_MAX_CHARACTERS]) if (words := terms(sentence))
    ][:MAX_SENTENCES]
    return SearchQuestion([sentence for sentence, _ in found], [words for _, words in found])
