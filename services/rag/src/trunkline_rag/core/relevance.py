"""Relevance of passages and sentences to a question, by meaning and by words.

A passage's evidence is the similarity of the question to the passage, plus that to its best sentence, plus a share of
the words that both have in common: meaning finds the articles whose words the customer does not know, and words count
for codes and names, which a sentence encoder hardly distinguishes. Evidence is calibrated to the probability that the
article answers the question, on conversations whose answers are known (bench/README.md).
"""

from __future__ import annotations

import math
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

E = TypeVar("E", float, NDArray[np.float32])

COVERAGE_WEIGHT: Final = 0.3
"""Weight of the covered share of the question's term weight, relative to one cosine similarity."""

TOPIC_BONUS: Final = 0.16
"""Evidence for a passage of the agent's topics: a fence that is left for clearly better passages."""

FOCUS_BONUS: Final = 0.45
"""Evidence for an article that the previous answer cited, if the question may be a follow-up."""

EARLIER_WEIGHT: Final = 0.5
"""Weight of the previous question relative to the current one, if that may be a follow-up."""

_MIDPOINT: Final = 0.96
"""Evidence at which half of the best passages answer the question."""
_SLOPE: Final = 5.0

MIN_EVIDENCE: Final = 0.5
"""Evidence below which a passage is not found at all: its article answers one question in ten."""

_SENTENCE_WEIGHT: Final = 2.0
"""Weight of a sentence's similarity; its coverage and its passage's evidence have weights below one."""
_PASSAGE_WEIGHT: Final = 0.5

WORDS_MIDPOINT: Final = 0.4
"""Covered share of a question's term weight at which a passage is as likely to answer as not, without vectors. Chosen
on halves of the demo fleet's questions and of CLINC150's out of scope (bench/README.md)."""


def passage_evidence(
    similarities: NDArray[np.float32], best_sentences: NDArray[np.float32], coverages: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Combine the similarities of passages and of their best sentences with the covered shares (0 to 1)."""
    return similarities + best_sentences + np.float32(COVERAGE_WEIGHT) * coverages


def sentence_evidence(similarity: float, coverage: float) -> float:
    """Combine the similarity of a sentence of a passage with its covered share (0 to 1)."""
    return _SENTENCE_WEIGHT * similarity + COVERAGE_WEIGHT * coverage


def with_earlier(current: E, earlier: E) -> E:
    """Return the evidence for a question that may continue an earlier one, from the evidence for each of them."""
    # With a plain number an array keeps its precision, which numpy's types do not know.
    return (current + EARLIER_WEIGHT * earlier) * (1 / (1 + EARLIER_WEIGHT))  # type: ignore[return-value]


def sentence_score(evidence: float, passage: float) -> float:
    """Return a score that is comparable among the sentences of all passages: it is higher in a better passage."""
    return round(evidence + _PASSAGE_WEIGHT * passage, 4)


def probability(evidence: float) -> float:
    """Return the probability (0 to 1) that an article with this evidence answers the question."""
    return 1 / (1 + math.exp(-_SLOPE * (evidence - _MIDPOINT)))


def probability_by_words(coverage: float) -> float:
    """Return the probability for a covered share of the term weight, without vectors."""
    if coverage < WORDS_MIDPOINT:
        return 0.5 * coverage / WORDS_MIDPOINT
    return 0.5 + 0.5 * (coverage - WORDS_MIDPOINT) / (1 - WORDS_MIDPOINT)
