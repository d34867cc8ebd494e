"""The built-in provider's art: an answer made only of sentences of the passages, each with its citation, or none.

A sentence is worth what part of the question's rare words it covers, with the help of its title and its passage. The
best one leads; its neighbours and other good ones follow, from another article only what says more of the question than
has been said. A sentence about another code than the one that was asked for
(E5 for E2) is about something else. When even the best passage covers too little of the question,
the honest answer is that there is none.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_language.sentences import Sentence, sentences
from trunkline_language.terms import terms
from trunkline_protocols.citations import Citation
from trunkline_protocols.knowledge import Passage

LEAST_COVERAGE: Final = 0.4
"""Part of the question's weight that a passage must cover to be an answer at all. Chosen on halves of the demo fleet's
questions and of CLINC150's out of scope; of the other halves 94 % and 11 % are answered (bench/README.md)."""

_LEAST_EVIDENCE: Final = 2
"""Words that question and passage must share: one word alone covers a whole question that has no other."""

_SHORT_QUESTION_WORDS: Final = 3
"""A question so short has no second word to share."""

MOST_SENTENCES: Final = 3
_GOOD_ENOUGH: Final = 0.6
"""A further sentence must be worth so much of the best one."""
_TITLE_WORTH: Final = 0.35
_PASSAGE_WORTH: Final = 0.5
_ITEM_PENALTY: Final = 0.12
_NEIGHBOUR_WORTH: Final = 0.15
_SHORTEST_WORDS: Final = 4
_CODE: Final = re.compile(r"(?=[a-z]*[0-9])(?=[0-9]*[a-z])[a-z0-9]+")
"""Letters and digits in one word: an error, a model, an article number."""


@dataclass(frozen=True, slots=True)
class Composed:
    """An answer: its sentences in order, with a citation each; empty when there is none."""

    parts: list[str]
    citations: list[Citation]

    @property
    def text(self) -> str:
        """The whole answer."""
        return " ".join(self.parts)


@dataclass(frozen=True, slots=True)
class _ScoredSentence:
    passage: int
    position: int
    source: Passage
    sentence: Sentence
    covers: set[str]
    """Of the question's words."""
    worth: float


def compose(question: str, passages: Sequence[Passage]) -> Composed:
    """Answer a question from passages."""
    asked = set(terms(question))
    quotable = [passage for passage in passages if not passage.internal]
    if not any(_is_answer(passage, asked, question) for passage in quotable):
        return Composed([], [])
    candidates = _candidates(asked, quotable)
    if not candidates:
        return Composed([], [])
    chosen = _choose(candidates)
    return Composed(
        parts=[candidate.sentence.text for candidate in chosen],
        citations=[
            Citation(
                document=candidate.source.document,
                title=candidate.source.title,
                quote=candidate.sentence.quote,
                rev=candidate.source.rev,
            )
            for candidate in chosen
        ],
    )


def _is_answer(passage: Passage, asked: set[str], question: str) -> bool:
    if passage.score < LEAST_COVERAGE:
        return False
    shared = asked & set(terms(f"{passage.title} {passage.headings} {passage.text}"))
    return len(shared) >= _LEAST_EVIDENCE or len(question.split()) <= _SHORT_QUESTION_WORDS


def _candidates(asked: set[str], passages: Sequence[Passage]) -> list[_ScoredSentence]:
    found = [
        (number, position, passage, sentence, set(terms(sentence.text)))
        for number, passage in enumerate(passages)
        for position, sentence in enumerate(sentences(passage.text))
        if len(sentence.text.split()) >= _SHORTEST_WORDS
    ]
    found = [sentence for sentence in found if not _is_of_another_code(asked, sentence[-1])]
    weight = _weights(asked, [words for *_, words in found])
    total = sum(weight.values()) or 1.0
    candidates = []
    for number, position, passage, sentence, words in found:
        covers = asked & words
        covered = sum(weight[term] for term in covers) / total
        titled = sum(weight[term] for term in asked & set(terms(passage.title))) / total
        worth = covered + _TITLE_WORTH * titled + _PASSAGE_WORTH * passage.score
        worth -= _ITEM_PENALTY if sentence.is_item else 0.0
        if covered > 0:
            candidates.append(_ScoredSentence(number, position, passage, sentence, covers, worth))
    return candidates


def _is_of_another_code(asked: set[str], words: set[str]) -> bool:
    codes = set(filter(_CODE.fullmatch, asked))
    others = set(filter(_CODE.fullmatch, words))
    return bool(codes and others) and codes.isdisjoint(others)


def _weights(asked: set[str], sentences_terms: Sequence[set[str]]) -> dict[str, float]:
    """Rare words weigh more: a word that every sentence has says nothing."""
    seen = Counter(term for words in sentences_terms for term in asked & words)
    return {term: math.log(1 + (len(sentences_terms) + 1) / (seen[term] + 0.5)) for term in asked}


def _choose(candidates: list[_ScoredSentence]) -> list[_ScoredSentence]:
    """Take the best, then what goes with it; in the order in which the articles say it."""
    best = max(candidates, key=lambda candidate: (candidate.worth, -candidate.passage, -candidate.position))
    others = sorted(
        (candidate for candidate in candidates if candidate is not best),
        key=lambda candidate: -_worth_beside(candidate, best),
    )
    chosen, leading, covered = [best], best.source.document, set(best.covers)
    for candidate in others:
        if len(chosen) == MOST_SENTENCES or _worth_beside(candidate, best) < _GOOD_ENOUGH * best.worth:
            break
        says_more = candidate.source.document == leading or not candidate.covers <= covered
        if says_more and all(candidate.sentence.text != taken.sentence.text for taken in chosen):
            chosen.append(candidate)
            covered |= candidate.covers
    return sorted(
        chosen, key=lambda candidate: (candidate.source.document != leading, candidate.passage, candidate.position)
    )


def _worth_beside(candidate: _ScoredSentence, best: _ScoredSentence) -> float:
    is_neighbour = candidate.passage == best.passage and candidate.sentence.line == best.sentence.line
    return candidate.worth + (_NEIGHBOUR_WORTH if is_neighbour else 0.0)
