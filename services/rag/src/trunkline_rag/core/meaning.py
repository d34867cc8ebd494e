"""Evidence of passages for a question with a vector: similarities to passages and sentences, and common words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from trunkline_language.sentences import sentences
from trunkline_language.terms import terms

from trunkline_rag.core.bm25 import Bm25
from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.question import SearchQuestion, Vectors
from trunkline_rag.core.relevance import (
    FOCUS_BONUS,
    passage_evidence,
    sentence_evidence,
    sentence_scores,
    with_earlier,
)
from trunkline_rag.core.sentence_index import SentenceIndex, SentenceSimilarities
from trunkline_rag.core.vector_index import VectorIndex

_CANDIDATES: Final = 20
"""Best passages by vectors whose evidence is compared."""
_CACHED_ROWS: Final = 5_000


class MeaningRanking:
    """Weighs the passages of one index. Immutable."""

    def __init__(
        self,
        rows: Sequence[PassageRow],
        vectors: VectorIndex,
        words: Bm25,
    ) -> None:
        """`vectors` and `words` have one entry per row."""
        self._rows = rows
        self._vectors = vectors
        self._words = words
        self._sentences = SentenceIndex([row.sentences for row in rows], vectors.dimensions)
        self._sentence_terms = lru_cache(maxsize=_CACHED_ROWS)(self._terms_of_sentences)

    def candidates(self, question: SearchQuestion, allowed: NDArray[np.bool_]) -> set[int]:
        """Return the nearest rows to a question and to the one before it, and those of the articles in focus."""
        found = {row for ranked in self._vectors.nearest(_vectors(question), allowed, _CANDIDATES) for row in ranked}
        if question.focus:
            found |= {row for row in np.nonzero(allowed)[0].tolist() if self._rows[row].document in question.focus}
        return found

    def weigh(self, question: SearchQuestion, rows: Sequence[int]) -> WeighedPassages:
        """Weigh candidate rows for a question that has a vector, and for the one before it."""
        vectors = _vectors(question)
        terms_asked = [asked.all_terms for asked in _asked(question)]
        similarities = self._vectors.similarities(rows, vectors)
        sentences = self._sentences.similarities(rows, vectors)
        best = sentences.best()
        covered = np.stack([self._words.coverages(found)[rows] for found in terms_asked], axis=1)
        by_question = passage_evidence(similarities, np.where(np.isnan(best), similarities, best), covered)
        is_focused = np.array([self._rows[row].document in question.focus for row in rows], dtype=np.float32)
        return WeighedPassages(
            evidence=with_earlier(by_question) + np.float32(FOCUS_BONUS) * is_focused,
            rows=rows,
            coverages=[TermCoverage(found, self._words.rarity) for found in terms_asked],
            similarities=sentences,
            sentence_terms=self._sentence_terms,
        )

    def _terms_of_sentences(self, row: int) -> list[frozenset[str]]:
        return [frozenset(terms(sentence.text)) for sentence in sentences(self._rows[row].text)]


class TermCoverage:
    """Measures how much of a question's term weight other texts cover."""

    def __init__(self, asked: set[str], rarity: Callable[[str], float]) -> None:
        """`asked` are the terms of the question, `rarity` the weight of a term."""
        self._weights = {term: rarity(term) for term in asked}
        self._terms = frozenset(asked)
        self._total = sum(self._weights.values()) or 1.0

    def of(self, found: frozenset[str]) -> float:
        """Return the covered share (0 to 1) for the terms of a text."""
        return sum(self._weights[term] for term in self._terms & found) / self._total


@dataclass(frozen=True, slots=True)
class WeighedPassages:
    """The evidence of candidate passages for one question, and the parts of the scores of their sentences."""

    evidence: NDArray[np.float32]
    """One per candidate."""
    rows: Sequence[int]
    coverages: Sequence[TermCoverage]
    """Of the question and, if it may continue one, of the question before it."""
    similarities: SentenceSimilarities
    sentence_terms: Callable[[int], list[frozenset[str]]]

    def sentence_scores(self, number: int, evidence: float) -> list[float]:
        """Return the scores of the sentences of one candidate; `evidence` is that of its passage."""
        similarities = self.similarities.of_row(number)
        found = self.sentence_terms(self.rows[number])[: len(similarities)]
        if not found:
            return []
        covered = np.array([[coverage.of(each) for coverage in self.coverages] for each in found], np.float32)
        return sentence_scores(with_earlier(sentence_evidence(similarities[: len(found)], covered)), evidence)


def _asked(question: SearchQuestion) -> list[SearchQuestion]:
    """Return the question and, if it may continue one, the question before it."""
    earlier = question.earlier
    return [question] if earlier is None or earlier.vector is None else [question, earlier]


def _vectors(question: SearchQuestion) -> Vectors:
    return np.stack([asked.vector for asked in _asked(question) if asked.vector is not None])
