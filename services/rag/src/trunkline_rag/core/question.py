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

Vector: TypeAlias = NDArray[np.float32]
"""Normalised vector of one text."""

MAX_SENTENCES: Final = 48
"""About a page of text; later sentences cost time and find nothing new."""

LONG_QUESTION_SENTENCES: Final = 3
"""From this number of sentences on, a question is a story. A shorter one asks for a single passage, and further
passages of its article add nothing."""

_MAX_CHARACTERS: Final = 8_000


@dataclass(frozen=True, slots=True)
class SearchQuestion:
    """Sentences that contain at least one term, their terms, and optionally vectors.

    A short question is searched as a whole, by `vector`; a long one by the sentence, by `vectors`.
    """

    text: str
    sentences: list[str]
    terms: list[list[str]]
    vectors: Vectors | None = None
    """One row per sentence of a long question."""
    vector: Vector | None = None
    """Vector of the whole question."""
    earlier: SearchQuestion | None = None
    """Previous question, with its vector, if this one may continue it."""
    focus: frozenset[str] = frozenset()
    """Articles that the previous answer cited."""

    @property
    def is_long(self) -> bool:
        """Return whether it is a story of several sentences, which asks for the article that covers most of it."""
        return len(self.sentences) >= LONG_QUESTION_SENTENCES

    @property
    def all_terms(self) -> set[str]:
        """Return the terms of all sentences."""
        return {term for words in self.terms for term in words}

    def with_vectors(self, vectors: Vectors) -> SearchQuestion:
        """Return a copy with one vector per sentence, as for a long question."""
        return replace(self, vectors=vectors)

    def with_vector(self, vector: Vector) -> SearchQuestion:
        """Return a copy with the vector of the whole question."""
        return replace(self, vector=vector)


def read_question(query: str) -> SearchQuestion:
    """Split a query into sentences, without vectors: long messages cover several subjects."""
    found = [
        (sentence.strip(), words) for sentence in segment("en", query[:_MAX_CHARACTERS]) if (words := terms(sentence))
    ][:MAX_SENTENCES]
    return SearchQuestion(query, [sentence for sentence, _ in found], [words for _, words in found])
