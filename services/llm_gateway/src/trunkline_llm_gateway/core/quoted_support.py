"""Support of a model's statement by a passage: whether one of its sentences says the same, and which one.

Statement and sentence are compared by their terms. Models paraphrase, so a part of the shorter one suffices, and a
larger part if the search found the passage improbable or if the numbers differ. On paraphrases of sentences of the demo
fleet these floors keep every supported statement, and drop 98 % of those about something else.

Terms do not compare texts in two languages: such a statement is supported if its passage probably answers the question,
by the sentence that answers it best.
"""

from __future__ import annotations

from typing import Final

from trunkline_language.sentences import Sentence, sentences
from trunkline_language.terms import function_word_share, terms, tokenize
from trunkline_protocols.knowledge import MIN_ANSWER_SCORE, Passage

from trunkline_llm_gateway.core.quoted_sentences import has_other_code

_MIN_SHARED_TERMS: Final = 2
"""Terms that statement and sentence must share, unless the statement has fewer."""

_MIN_OVERLAP: Final = 0.3
"""Shared terms relative to the terms of the shorter one."""

_MIN_CLOSE_OVERLAP: Final = 0.5
"""The same if the article probably does not answer the question, or if statement and sentence have other numbers."""

_MIN_WORDS: Final = 6
"""Words from which on the language of a statement can be judged."""
_MAX_FOREIGN_SHARE: Final = 0.1
_MIN_ENGLISH_SHARE: Final = 0.2
"""Shares of English function words: at most in a text in another language, at least in an English one."""


def supporting_sentence(statement: str, passage: Passage) -> Sentence | None:
    """Return the sentence of a passage that supports a statement best, None if none supports it."""
    statement_terms = set(terms(statement))
    best: Sentence | None = None
    best_rank = (0, 0.0)
    for position, sentence in enumerate(sentences(passage.text)):
        shared = len(statement_terms & set(terms(sentence.text)))
        # Of sentences that share as many terms, the one that answers the question better; without scores the first.
        score = passage.sentence_scores[position] if position < len(passage.sentence_scores) else 0.0
        if best is None or (shared, score) > best_rank:
            best, best_rank = sentence, (shared, score)
    if best is None or not _supports(statement, statement_terms, best, passage):
        return None
    return best


def _supports(statement: str, statement_terms: set[str], sentence: Sentence, passage: Passage) -> bool:
    sentence_terms = set(terms(sentence.text))
    if has_other_code(statement_terms, sentence_terms):
        return False
    is_probable = passage.score >= MIN_ANSWER_SCORE
    if _differ_in_language(statement, passage.text):
        return is_probable
    shared = len(statement_terms & sentence_terms)
    is_expected = is_probable and not _differ_in_numbers(statement_terms, sentence_terms)
    needed = _MIN_OVERLAP if is_expected else _MIN_CLOSE_OVERLAP
    shorter = min(len(statement_terms), len(sentence_terms))
    return shared >= max(1, min(_MIN_SHARED_TERMS, len(statement_terms))) and shared >= needed * shorter


def _differ_in_numbers(statement_terms: set[str], sentence_terms: set[str]) -> bool:
    """Return whether both have numbers in digits, but none in common."""
    stated, quoted = (set(filter(str.isdecimal, some)) for some in (statement_terms, sentence_terms))
    return bool(stated and quoted) and stated.isdisjoint(quoted)


def _differ_in_language(statement: str, text: str) -> bool:
    """Return whether exactly one of two texts is English; a short statement is taken for the language of the text."""
    if len(tokenize(statement)) < _MIN_WORDS:
        return False
    low, high = sorted((function_word_share(statement), function_word_share(text)))
    return low <= _MAX_FOREIGN_SHARE and high >= _MIN_ENGLISH_SHARE
