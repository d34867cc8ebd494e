"""Evidence of passages for a question with a vector: similarities to passages and sentences, and common words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from trunkline_language.sentences import sentences
from trunkline_language.terms import terms

from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.question import SearchQuestion, Vector
from trunkline_rag.core.relevance import (
    FOCUS_BONUS,
    passage_evidence,
    sentence_evidence,
    sentence_scores,
    with_earlier,
)
from trunkline_rag.core.sentence_index import SentenceIndex
from trunkline_rag.core.vector_index import VectorIndex

_CANDIDATES: Final = 20
"""Best passages by vectors whose evidence is compared."""
_CACHED_ROWS: Final = 5_000


class MeaningRanking:
    """Weighs the passages of one index. Immutable."""

    def __init__(
        self,
        rows: Sequence[PassageRow],
        terms_of_rows: Sequence[frozenset[str]],
        vectors: VectorIndex,
        rarity: Callable[[str], float],
    ) -> None:
        """`terms_of_rows` and `vectors` have one entry per row; `rarity` is the weight of a term."""
        self._rows = rows
        self._terms = terms_of_rows
        self._vectors = vectors
        self._rarity = rarity
        self._sentences = SentenceIndex([row.sentences for row in rows], vectors.dimensions)
        self._sentence_terms = lru_cache(maxsize=_CACHED_ROWS)(self._terms_of_sentences)

    def candidates(self, question: SearchQuestion, allowed: NDArray[np.bool_]) -> set[int]:
        """Return the nearest rows to a question and to the one before it, and those of the articles in focus."""
        asked = np.stack([vector for _, vector in _with_vectors(question)])
        found = {row for ranked in self._vectors.nearest(asked, allowed, _CANDIDATES) for row in ranked}
        if question.focus:
            found |= {row for row in np.nonzero(allowed)[0].tolist() if self._rows[row].document in question.focus}
        return found

    def evidence(self, question: SearchQuestion, rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the evidence of rows for a question, with that for the one before it and with the focus."""
        found = [self._evidence(asked, vector, rows) for asked, vector in _with_vectors(question)]
        evidence = with_earlier(*found) if len(found) > 1 else found[0]
        is_focused = np.array([self._rows[row].document in question.focus for row in rows], dtype=np.float32)
        return evidence + np.float32(FOCUS_BONUS) * is_focused

    def sentence_scores(self, question: SearchQuestion, row: int, evidence: float) -> list[float]:
        """Return the scores of a row's sentences; `evidence` is that of the row."""
        found = [self._sentence_evidence(asked, vector, row) for asked, vector in _with_vectors(question)]
        return sentence_scores(with_earlier(*found) if len(found) > 1 else found[0], evidence)

    def _evidence(self, question: SearchQuestion, vector: Vector, rows: Sequence[int]) -> NDArray[np.float32]:
        similarities = self._vectors.similarities(rows, vector)
        best = self._sentences.best(np.array(rows, dtype=np.intp), vector)
        coverages = self._coverages(question, [self._terms[row] for row in rows])
        return passage_evidence(similarities, np.where(np.isnan(best), similarities, best), coverages)

    def _sentence_evidence(self, question: SearchQuestion, vector: Vector, row: int) -> NDArray[np.float32]:
        similarities = self._sentences.similarities(row, vector)
        found = self._sentence_terms(row)[: len(similarities)]
        return sentence_evidence(similarities[: len(found)], self._coverages(question, found))

    def _coverages(self, question: SearchQuestion, found: Sequence[frozenset[str]]) -> NDArray[np.float32]:
        """Return the covered share of the question's term weight for each set of terms."""
        weights = {term: self._rarity(term) for term in question.all_terms}
        total = sum(weights.values()) or 1.0
        covered = [sum(weight for term, weight in weights.items() if term in each) / total for each in found]
        return np.array(covered, dtype=np.float32)

    def _terms_of_sentences(self, row: int) -> list[frozenset[str]]:
        return [frozenset(terms(sentence.text)) for sentence in sentences(self._rows[row].text)]


def _with_vectors(question: SearchQuestion) -> list[tuple[SearchQuestion, Vector]]:
    """Return the question and, if it may continue one, the question before it."""
    asked = [question] if question.earlier is None else [question, question.earlier]
    return [(each, each.vector) for each in asked if each.vector is not None]
