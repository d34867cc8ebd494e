"""Split of a message that asks several questions into these questions."""

from __future__ import annotations

import re
from typing import Final

from sentencex import segment
from trunkline_language.terms import terms, tokenize

_MAX_CHARACTERS: Final = 1_000
_MAX_PARTS: Final = 3
_MIN_WORDS: Final = 3
_QUESTION_WORDS: Final = (
    "how|what|when|where|which|who|whose|why|can|could|do|does|did|is|are|was|were|will|would|may|should|has|have|am"
)
_JOIN: Final = re.compile(
    rf"\s*(?:,\s*(?:and|also)\s+(?:also\s+)?|\s+and\s+(?:also\s+)?(?=(?:{_QUESTION_WORDS})\b))", re.IGNORECASE
)
"""A comma with a conjunction, or a conjunction before the beginning of a question."""


def question_parts(text: str) -> list[str]:
    """Return the questions of a message, at most three; an empty list if it asks one.

    A statement before a question belongs to it. A page of text is one story.
    """
    if len(text) > _MAX_CHARACTERS:
        return []
    # Runs of blanks would make the search for conjunctions cubic.
    text = " ".join(text.split())
    parts: list[str] = []
    statement = ""
    for sentence in segment("en", text):
        for number, clause in enumerate(_JOIN.split(sentence)):
            piece = f"{statement} {clause}".strip() if number == 0 else clause.strip()
            statement = ""
            if number == 0 and not _is_question(sentence) and not _JOIN.search(sentence):
                statement = piece
            elif piece:
                parts.append(piece)
    if statement:
        parts.append(statement)
    meant = [part for part in parts if len(tokenize(part)) >= _MIN_WORDS and terms(part)]
    is_split = len(meant) == len(parts) and 1 < len(parts) <= _MAX_PARTS
    return meant if is_split else []


def _is_question(sentence: str) -> bool:
    return sentence.rstrip().endswith("?")
