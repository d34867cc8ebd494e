"""A question as the index takes it: its sentences, each a query of its own, with their vectors where there are any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sentencex import segment
from trunkline_language.terms import terms

Vectors: TypeAlias = NDArray[np.float32]

MOST_SENTENCES: Final = 48
"""A page of a story; what comes after costs time and finds nothing new."""

_LONGEST_CHARACTERS: Final = 8_000


@dataclass(frozen=True, slots=True)
class SearchQuestion:
    """Sentences with a word that counts: their terms, and one vector each."""

    sentences: list[str]
    terms: list[list[str]]
    vectors: Vectors | None = None

    def with_vectors(self, vectors: Vectors) -> SearchQuestion:
        """Return the same with a vector a sentence."""
        return replace(self, vectors=vectors)


def read_question(query: str) -> SearchQuestion:
    """Cut a query into sentences, without their vectors: long stories are about several things."""
    found = [
        (sentence.strip(), words)
        for sentence in segment("en", query[:_LONGEST_CHARACTERS])
        if (words := terms(sentence))
    ][:MOST_SENTENCES]
    return SearchQuestion([sentence for sentence, _ in found], [words for _, words in found])
