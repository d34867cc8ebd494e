"""Extractive answers: made only of sentences of the passages, each with its citation, or empty.

Passages that were compared by meaning bring a score for each sentence: the best sentences of the best article are
quoted in reading order, and those of a second article if it is almost as probable. Without such scores, a sentence is
scored by the share of the question's rare words that it covers, plus its title and its passage: the best sentence
leads; its neighbours and other good sentences follow, from another article only if they cover more of the question than
the answer so far. A sentence about another code than the requested one (E5 for E2) is about another subject. If even
the best passage is not probable enough, the honest answer is to abstain.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_language.sentences import Sentence, sentences
from trunkline_language.terms import terms
from trunkline_protocols.citations import Citation
from trunkline_protocols.intents import OFF_TOPIC, PERHAPS_OFF_TOPIC
from trunkline_protocols.knowledge import MIN_ANSWER_SCORE, Passage

from trunkline_llm_gateway.core.quoted_sentences import (
    NOTHING_SAID,
    QuotedSentence,
    Said,
    choose_by_meaning,
    has_other_code,
)

MIN_SCORE: Final = MIN_ANSWER_SCORE
"""Score that a passage needs to be an answer at all: the probability that its article answers the question."""

_MIN_SCORES: Final = {OFF_TOPIC: 0.9, PERHAPS_OFF_TOPIC: 0.75}
"""The same for a message that looks like a question about something else, by its intent."""

_MIN_SHARED_TERMS: Final = 2
"""Terms that question and passage must share: a single term may cover a whole question that has no other."""

_SHORT_QUESTION_WORDS: Final = 3
"""A question of at most this length has no second term to share."""

MAX_SENTENCES: Final = 3
_MIN_RELATIVE_SCORE: Final = 0.6
"""A further sentence must reach this share of the best one's score."""
_TITLE_WEIGHT: Final = 0.35
_PASSAGE_WEIGHT: Final = 0.5
_ITEM_PENALTY: Final = 0.12
_NEIGHBOUR_BONUS: Final = 0.15
_MIN_SENTENCE_WORDS: Final = 4


@dataclass(frozen=True, slots=True)
class Composed:
    """An answer: its sentences in order, with a citation each; empty if it abstains."""

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
    covered: set[str]
    """Terms of the question that it covers."""
    score: float


def score_needed(intent: str) -> float:
    """Return the score that a passage needs to answer a message of an intent."""
    return _MIN_SCORES.get(intent, MIN_SCORE)


def compose(
    question: str,
    passages: Sequence[Passage],
    *,
    parts: Sequence[str] = (),
    said: Said = NOTHING_SAID,
    min_score: float = MIN_SCORE,
) -> Composed:
    """Compose an answer to a question from passages.

    `parts` are its questions if it asks several: each is answered or declined. Sentences of earlier answers, `said`,
    are left out. `min_score` is the score that the best passage needs.
    """
    quotable = [passage for passage in passages if not passage.internal]
    if not parts:
        return _answer(_choose_sentences(question, quotable, said, min_score))
    answers: list[Composed] = []
    for number, part in enumerate(parts):
        found = [passage for passage in quotable if passage.part == number]
        answers.append(_answer(_choose_sentences(part, found, said, min_score)))
    if not any(answer.parts for answer in answers):
        return Composed([], [])
    return _joined(parts, answers)


def _choose_sentences(question: str, passages: Sequence[Passage], said: Said, min_score: float) -> list[QuotedSentence]:
    if any(passage.sentence_scores for passage in passages):
        return choose_by_meaning(set(terms(question)), passages, said, min_score)
    return _choose_by_words(question, passages, said, min_score)


def _answer(chosen: Sequence[QuotedSentence]) -> Composed:
    return Composed(
        parts=[each.sentence.text for each in chosen],
        citations=[
            Citation(
                document=each.source.document,
                title=each.source.title,
                quote=each.sentence.quote,
                rev=each.source.rev,
            )
            for each in chosen
        ],
    )


def _joined(parts: Sequence[str], answers: Sequence[Composed]) -> Composed:
    """Join the answers to several questions without repetition; a question without an answer is named."""
    texts: list[str] = []
    citations: list[Citation] = []
    for part, answer in zip(parts, answers, strict=True):
        for text, citation in zip(answer.parts, answer.citations, strict=True):
            if citation not in citations:
                texts.append(text)
                citations.append(citation)
        if not answer.parts:
            texts.append(f"To your question “{part.rstrip(' .')}” I found nothing in our help articles.")
    return Composed(texts, citations)


def _choose_by_words(question: str, passages: Sequence[Passage], said: Said, min_score: float) -> list[QuotedSentence]:
    question_terms = set(terms(question))
    if not any(_is_answer(passage, question_terms, question, min_score) for passage in passages):
        return []
    ranked = sorted(_score_sentences(question_terms, passages), key=lambda candidate: -candidate.score)
    candidates = [each for rank, each in enumerate(ranked) if not said.leaves_out(each.sentence.text, rank)]
    return [QuotedSentence(each.source, each.sentence) for each in _choose(candidates)] if candidates else []


def _is_answer(passage: Passage, question_terms: set[str], question: str, min_score: float) -> bool:
    if passage.score < min_score:
        return False
    shared = question_terms & set(terms(f"{passage.title} {passage.headings} {passage.text}"))
    return len(shared) >= _MIN_SHARED_TERMS or len(question.split()) <= _SHORT_QUESTION_WORDS


def _score_sentences(question_terms: set[str], passages: Sequence[Passage]) -> list[_ScoredSentence]:
    found = [
        (number, position, passage, sentence, set(terms(sentence.text)))
        for number, passage in enumerate(passages)
        for position, sentence in enumerate(sentences(passage.text))
        if len(sentence.text.split()) >= _MIN_SENTENCE_WORDS
    ]
    found = [sentence for sentence in found if not has_other_code(question_terms, sentence[-1])]
    weight = _weights(question_terms, [sentence_terms for *_, sentence_terms in found])
    total = sum(weight.values()) or 1.0
    candidates = []
    for number, position, passage, sentence, sentence_terms in found:
        covered = question_terms & sentence_terms
        coverage = sum(weight[term] for term in covered) / total
        title_coverage = sum(weight[term] for term in question_terms & set(terms(passage.title))) / total
        score = coverage + _TITLE_WEIGHT * title_coverage + _PASSAGE_WEIGHT * passage.score
        score -= _ITEM_PENALTY if sentence.is_item else 0.0
        if coverage > 0:
            candidates.append(_ScoredSentence(number, position, passage, sentence, covered, score))
    return candidates


def _weights(question_terms: set[str], sentences_terms: Sequence[set[str]]) -> dict[str, float]:
    """Return the weight of each question term: the rarer in the sentences, the higher."""
    seen = Counter(term for sentence_terms in sentences_terms for term in question_terms & sentence_terms)
    return {term: math.log(1 + (len(sentences_terms) + 1) / (seen[term] + 0.5)) for term in question_terms}


def _choose(candidates: list[_ScoredSentence]) -> list[_ScoredSentence]:
    """Return the best sentence and those that complement it, in the order of the articles."""
    best = max(candidates, key=lambda candidate: (candidate.score, -candidate.passage, -candidate.position))
    others = sorted(
        (candidate for candidate in candidates if candidate is not best),
        key=lambda candidate: -_score_beside(candidate, best),
    )
    chosen, leading, covered = [best], best.source.document, set(best.covered)
    for candidate in others:
        if len(chosen) == MAX_SENTENCES or _score_beside(candidate, best) < _MIN_RELATIVE_SCORE * best.score:
            break
        adds_coverage = candidate.source.document == leading or not candidate.covered <= covered
        if adds_coverage and all(candidate.sentence.text != taken.sentence.text for taken in chosen):
            chosen.append(candidate)
            covered |= candidate.covered
    return sorted(
        chosen, key=lambda candidate: (candidate.source.document != leading, candidate.passage, candidate.position)
    )


def _score_beside(candidate: _ScoredSentence, best: _ScoredSentence) -> float:
    is_neighbour = candidate.passage == best.passage and candidate.sentence.line == best.sentence.line
    return candidate.score + (_NEIGHBOUR_BONUS if is_neighbour else 0.0)
