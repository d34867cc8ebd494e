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
    sentence_score,
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
        self._rows_by_document: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            self._rows_by_document.setdefault(row.document, []).append(number)
        self._sentence_terms = lru_cache(maxsize=_CACHED_ROWS)(self._terms_of_sentences)

    def candidates(self, question: SearchQuestion, allowed: NDArray[np.bool_]) -> set[int]:
        """Return the nearest rows to a question and to the one before it, and those of the articles in focus."""
        found = {row for ranked in self._vectors.nearest(_vectors(question), allowed, _CANDIDATES) for row in ranked}
        return found | {row for row in self._focused(question) if allowed[row]}

    def weigh(self, question: SearchQuestion, rows: Sequence[int]) -> WeighedPassages:
        """Weigh candidate rows for a question that has a vector, and for the one before it."""
        vectors = _vectors(question)
        terms_asked = [asked.all_terms for asked in _asked(question)]
        numbers = np.array(rows, dtype=np.intp)
        similarities = self._vectors.similarities(numbers, vectors)
        sentences = self._sentences.similarities(numbers, vectors)
        covered = np.array([self._words.coverages(found).take(numbers) for found in terms_asked]).T
        by_question = passage_evidence(similarities, sentences.best(otherwise=similarities), covered)
        evidence: NDArray[np.float32] = by_question[:, 0]
        if len(terms_asked) > 1:
            evidence = with_earlier(evidence, by_question[:, 1])
        if focused := self._focused(question):
            evidence = evidence + np.float32(FOCUS_BONUS) * np.array([row in focused for row in rows], np.float32)
        return WeighedPassages(
            evidence=evidence,
            rows=rows,
            coverages=[TermCoverage(found, self._words.rarity) for found in terms_asked],
            similarities=sentences,
            sentence_terms=self._sentence_terms,
        )

    def _focused(self, question: SearchQuestion) -> set[int]:
        return {row for document in question.focus for row in self._rows_by_document.get(document, ())}

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
        similarities = self.similarities.of_row(number).tolist()
        terms_found = self.sentence_terms(self.rows[number])
        # Plain numbers: for the few sentences of a passage, arrays take several times as long.
        return [
            sentence_score(self._sentence_evidence(to_questions, found), evidence)
            for to_questions, found in zip(similarities, terms_found, strict=False)
        ]

    def _sentence_evidence(self, similarities: Sequence[float], found: frozenset[str]) -> float:
        """Return the evidence of a sentence with these similarities to the questions, and these terms."""
        by_question = [
            sentence_evidence(similarity, coverage.of(found))
            for similarity, coverage in zip(similarities, self.coverages, strict=True)
        ]
        return with_earlier(*by_question) if len(by_question) > 1 else by_question[0]


def _asked(question: SearchQuestion) -> list[SearchQuestion]:
    """Return the question and, if it may continue one, the question before it."""
    earlier = question.earlier
    return [question] if earlier is None or earlier.vector is None else [question, earlier]


def _vectors(question: SearchQuestion) -> Vectors:
    return np.array([asked.vector for asked in _asked(question) if asked.vector is not None])
