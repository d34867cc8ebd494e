"""Choice of the sentences of an extractive answer by their scores, which compare them by meaning and words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_language.sentences import Sentence, sentences
from trunkline_language.terms import terms
from trunkline_protocols.knowledge import Passage

_MAX_CHARACTERS: Final = 400
"""Length from which on no further sentence is added."""
_MAX_CHARACTERS_OF_TWO: Final = 260
"""The same for each of two articles."""

_MAX_DISTANCE: Final = 0.3
"""Distance to the best sentence's score up to which a sentence of another passage is added."""

_SECOND_ARTICLE: Final = 1.0
"""Distance of the log odds of two articles up to which both are quoted: which of them answers is not certain."""

_CODE: Final = re.compile(r"(?=[a-z]*[0-9])(?=[0-9]*[a-z])[a-z0-9]+")
"""Letters and digits in one word: an error, a model, an article number."""

_MAX_SCORE: Final = 0.9999


@dataclass(frozen=True, slots=True)
class QuotedSentence:
    """A sentence and the passage that contains it."""

    source: Passage
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Said:
    """Earlier answers, whose sentences are left out of the next one."""

    answers: Sequence[str] = ()
    kept: int = 0
    """Number of the best sentences of an article that are quoted again: they may answer this question too."""

    def leaves_out(self, sentence: str, rank: int) -> bool:
        """Return whether a sentence is left out; `rank` is its place from 0 among those of its article."""
        return rank >= self.kept and any(sentence in answer for answer in self.answers)


NOTHING_SAID: Final = Said()


@dataclass(frozen=True, slots=True)
class _Scored:
    quoted: QuotedSentence
    passage: int
    score: float


def choose_by_meaning(
    question_terms: set[str], passages: Sequence[Passage], said: Said, min_score: float
) -> list[QuotedSentence]:
    """Return the sentences that answer, in reading order; none if no article is probable enough."""
    documents: dict[str, float] = {}
    for passage in passages:
        documents.setdefault(passage.document, passage.score)
    ranked = [(document, score) for document, score in documents.items() if score >= min_score][:2]
    if not ranked or _names_unknown_code(question_terms, passages):
        return []
    is_close = len(ranked) > 1 and _log_odds(ranked[0][1]) - _log_odds(ranked[1][1]) < _SECOND_ARTICLE
    limit = _MAX_CHARACTERS_OF_TWO if is_close else _MAX_CHARACTERS
    chosen: list[QuotedSentence] = []
    for document, _ in ranked[: 2 if is_close else 1]:
        chosen += _best_of(_scored(question_terms, passages, document, said), limit)
    return chosen


def has_other_code(question_terms: set[str], sentence_terms: set[str]) -> bool:
    """Return whether a sentence is about another code than the one that the question names."""
    requested = set(filter(_CODE.fullmatch, question_terms))
    mentioned = set(filter(_CODE.fullmatch, sentence_terms))
    return bool(requested and mentioned) and requested.isdisjoint(mentioned)


def _names_unknown_code(question_terms: set[str], passages: Sequence[Passage]) -> bool:
    """Return whether the question names a code, and no passage mentions any of its codes."""
    requested = set(filter(_CODE.fullmatch, question_terms))
    mentioned = (term for passage in passages for term in terms(f"{passage.title} {passage.headings} {passage.text}"))
    return bool(requested) and requested.isdisjoint(mentioned)


def _scored(question_terms: set[str], passages: Sequence[Passage], document: str, said: Said) -> list[_Scored]:
    """Return the quotable sentences of an article, best first."""
    found = [
        _Scored(QuotedSentence(passage, sentence), number, score)
        for number, passage in enumerate(passages)
        if passage.document == document
        for sentence, score in zip(sentences(passage.text), passage.sentence_scores, strict=False)
        if not has_other_code(question_terms, set(terms(sentence.text)))
    ]
    found.sort(key=lambda each: -each.score)
    return [each for rank, each in enumerate(found) if not said.leaves_out(each.quoted.sentence.text, rank)]


def _best_of(found: Sequence[_Scored], limit: int) -> list[QuotedSentence]:
    """Return the best sentence, then those of its passage and others almost as good, up to a length."""
    if not found:
        return []
    best, *others = found
    chosen = [best]
    length = len(best.quoted.sentence.text)
    for each in others:
        if length >= limit:
            break
        if each.passage == best.passage or each.score > best.score - _MAX_DISTANCE:
            chosen.append(each)
            length += len(each.quoted.sentence.text)
    # The passage of the best sentence first, the sentences of each passage as they are written.
    chosen.sort(key=lambda each: (each.passage != best.passage, each.passage, _position(each.quoted)))
    return [each.quoted for each in chosen]


def _position(quoted: QuotedSentence) -> int:
    return quoted.source.text.index(quoted.sentence.quote)


def _log_odds(score: float) -> float:
    bounded = min(max(score, 1 - _MAX_SCORE), _MAX_SCORE)
    return math.log(bounded / (1 - bounded))
