"""Splitting of articles into passages: verbatim pieces of Markdown, each with the headings above it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt
from semantic_text_splitter import MarkdownSplitter

from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_row import PassageRow

MAX_PASSAGE_CHARACTERS: Final = 600
"""A length that a sentence encoder reads without truncation and a person at a glance."""

# Only headings are needed: the text between them is quoted verbatim, and inline parsing would take most of the time.
_markdown: Final = MarkdownIt().disable(["inline", "text_join"])
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
"""Lines as Markdown has them: `splitlines` also ends them at the separators of Unicode, which texts may hold."""

_splitter: Final = MarkdownSplitter(MAX_PASSAGE_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A verbatim part of an article and the path of headings above it, joined by ` > `."""

    text: str
    headings: str


def split_text(text: str) -> list[Chunk]:
    """Split an article at its headings, a long section at its blocks, and a long block at its sentences.

    Every chunk's text is a substring of the article's text.
    """
    return [Chunk(chunk, headings) for headings, body in _sections(text) for chunk in _splitter.chunks(body)]


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield the heading path and the text of each section."""
    lines = _LINE.findall(text)
    above: dict[int, str] = {}
    body_start = 0
    for start, end, level in _headings(text):
        yield " > ".join(above[key] for key in sorted(above)), "".join(lines[body_start:start])
        above = {key: heading for key, heading in above.items() if key < level}
        above[level] = "".join(lines[start:end]).strip().strip("#=- \n")
        body_start = end
    yield " > ".join(above[key] for key in sorted(above)), "".join(lines[body_start:])


def _headings(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield top-level headings as (first line, line after, level)."""
    for token in _markdown.parse(text):
        if token.type == "heading_open" and token.level == 0 and token.map is not None:
            yield token.map[0], token.map[1], int(token.tag[1])


def split_document(document: Document, tenant: str) -> list[PassageRow]:
    """Split an article into the rows that are stored and indexed."""
    return [
        PassageRow(
            document.id,
            tenant,
            document.title,
            tuple(document.topics),
            chunk.headings,
            chunk.text,
            document.scope,
            document.rev,
        )
        for chunk in split_text(document.text)
    ]
