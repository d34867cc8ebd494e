"""Citations of a model's text: each mark [1], [2] … becomes the sentence of that passage that supports it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from trunkline_language.sentences import sentences
from trunkline_language.terms import terms
from trunkline_protocols.citations import Citation
from trunkline_protocols.knowledge import Passage

_MARK: Final = re.compile(r"\[(\d{1,3})\]")


def citations(text: str, passages: Sequence[Passage]) -> list[Citation]:
    """Return the verbatim quote for every mark; marks without a passage are ignored."""
    found: list[Citation] = []
    start = 0
    statement = ""
    for mark in _MARK.finditer(text):
        number = int(mark[1])
        preceding = text[start : mark.start()]
        # Consecutive marks support the same statement.
        statement = preceding if preceding.strip(" .,;") else statement
        start = mark.end()
        if 1 <= number <= len(passages):
            quoted = _quote(statement, passages[number - 1])
            if quoted is not None and quoted not in found:
                found.append(quoted)
    return found


def _quote(statement: str, passage: Passage) -> Citation | None:
    statement_terms = set(terms(statement))
    candidates = sentences(passage.text)
    if not candidates:
        return None
    best = max(candidates, key=lambda sentence: len(statement_terms & set(terms(sentence.text))))
    return Citation(document=passage.document, title=passage.title, quote=best.quote, rev=passage.rev)
