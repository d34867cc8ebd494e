"""What the marks [1], [2] … of a model's text rest on: the sentence of that passage that says it."""

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
    """Find the verbatim quote for every mark; marks of passages that do not exist are ignored."""
    found: list[Citation] = []
    said_from = 0
    statement = ""
    for mark in _MARK.finditer(text):
        number = int(mark[1])
        said = text[said_from : mark.start()]
        # Marks in a row rest on the same statement.
        statement = said if said.strip(" .,;") else statement
        said_from = mark.end()
        if 1 <= number <= len(passages):
            quoted = _quote(statement, passages[number - 1])
            if quoted is not None and quoted not in found:
                found.append(quoted)
    return found


def _quote(said: str, passage: Passage) -> Citation | None:
    wanted = set(terms(said))
    candidates = sentences(passage.text)
    if not candidates:
        return None
    best = max(candidates, key=lambda sentence: len(wanted & set(terms(sentence.text))))
    return Citation(document=passage.document, title=passage.title, quote=best.quote, rev=passage.rev)
