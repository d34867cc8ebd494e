"""Citations of a model's text: each mark [1], [2, 3] … becomes the sentence of that passage that supports it.

A mark is a claim of the model, so it is checked: a mark whose passage has no sentence that supports the statement
before it gives no citation (see `quoted_support`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from trunkline_language.sentences import sentences
from trunkline_language.terms import terms
from trunkline_protocols.citations import Citation
from trunkline_protocols.knowledge import Passage

from trunkline_llm_gateway.core.quoted_support import supporting_sentence

_MARK: Final = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
_NUMBER: Final = re.compile(r"\d+")

_MIN_TERMS: Final = 2
"""Terms that a statement needs to be checked; a shorter sentence is read with the one before it."""


def citations(text: str, passages: Sequence[Passage]) -> list[Citation]:
    """Return the verbatim quote for every mark; marks without a passage, or without its support, are ignored."""
    found: list[Citation] = []
    start = 0
    statement = ""
    for mark in _MARK.finditer(text):
        preceding = text[start : mark.start()]
        # Consecutive marks support the same statement.
        statement = _last_statement(preceding) if preceding.strip(" .,;") else statement
        start = mark.end()
        for number in map(int, _NUMBER.findall(mark[1])):
            if 1 <= number <= len(passages):
                cited = _cite(statement, passages[number - 1], number)
                if cited is not None and cited not in found:
                    found.append(cited)
    return found


def _last_statement(text: str) -> str:
    """Return the last sentence, with those before it as long as it has too few terms to be checked."""
    statement = ""
    for sentence in reversed(sentences(text)):
        statement = f"{sentence.text} {statement}"
        if len(set(terms(statement))) >= _MIN_TERMS:
            break
    return (statement or text).strip()


def _cite(statement: str, passage: Passage, mark: int) -> Citation | None:
    sentence = None if passage.internal else supporting_sentence(statement, passage)
    if sentence is None:
        return None
    return Citation(
        document=passage.document,
        title=passage.title,
        quote=sentence.quote,
        rev=passage.rev,
        statement=statement,
        mark=mark,
    )
