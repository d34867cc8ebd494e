"""A question as the index takes it: its sentences, each a query of its own, with their vectors where there are any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
class Question:
    """Sentences with a word that counts: their terms, and one vector each."""

    sentences: list[str]
    terms: list[list[str]]
    vectors: Vectors | None = None


def read_question(query: str, embed: Callable[[Sequence[str]], Vectors] | None = None) -> Question:
    """Cut a query into sentences: long stories are about several things."""
    found = [
        (sentence.strip(), words)
        for sentence in segment("en", query[:_LONGEST_CHARACTERS])
        if (words := terms(sentence))
    ][:MOST_SENTENCES]
    sentences = [sentence for sentence, _ in found]
    vectors = embed(sentences) if embed is not None and sentences else None
    return Question(sentences, [words for _, words in found], vectors)
