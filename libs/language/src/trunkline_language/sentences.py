"""Sentence segmentation of Markdown, verbatim and without markup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sentencex import segment

_MARKER: Final = re.compile(r"^\s*(?:[-*+]\s+|\d{1,3}[.)]\s+|>\s*)")
_HEADING_OR_RULE: Final = re.compile(r"^\s*(?:#{1,6}\s|[-=*_]{3,}\s*$|\|)")
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_EMPHASIS: Final = re.compile(r"(\*\*|__|\*|`)(.+?)\1")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence; `quote` is a substring of the source, `text` is `quote` without markup."""

    quote: str
    text: str
    line: int
    """Line number (a paragraph or a list item), from 0."""
    is_item: bool


def sentences(markdown: str) -> list[Sentence]:
    """Split a text into sentences; headings, rules and tables are skipped."""
    found: list[Sentence] = []
    for number, line in enumerate(markdown.splitlines()):
        if _HEADING_OR_RULE.match(line):
            continue
        marker = _MARKER.match(line)
        body = line[marker.end() :] if marker else line
        for part in segment("en", body):
            quote = part.strip()
            if quote:
                found.append(Sentence(quote, without_markup(quote), number, is_item=marker is not None))
    return found


def without_markup(text: str) -> str:
    """Return the text without emphasis, code marks and link targets."""
    return _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", text))
