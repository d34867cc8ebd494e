"""Articles become passages: verbatim pieces of Markdown, each knowing the headings above it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt
from semantic_text_splitter import MarkdownSplitter

from trunkline_rag.core.articles import Document
from trunkline_rag.core.index import Row

LONGEST_CHARACTERS: Final = 600
"""What a sentence encoder still reads whole, and a person at a glance."""

# Headings are all that is asked for: what stands between them is quoted as it is, and parsing it would take longest.
_markdown: Final = MarkdownIt().disable(["inline", "text_join"])
_splitter: Final = MarkdownSplitter(LONGEST_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Piece:
    """A verbatim part of an article, and the headings that it stands under."""

    text: str
    headings: str


def cut(text: str) -> list[Piece]:
    """Cut an article at its headings, and what is between them at its blocks, or within a long one at its sentences.

    Every piece's text is a substring of the article's text.
    """
    return [Piece(chunk, headings) for headings, body in _sections(text) for chunk in _splitter.chunks(body)]


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Headings above and text of each part between two headings."""
    lines = text.splitlines(keepends=True)
    above: dict[int, str] = {}
    begun = 0
    for start, end, level in _headings(text):
        yield " > ".join(above[key] for key in sorted(above)), "".join(lines[begun:start])
        above = {key: heading for key, heading in above.items() if key < level}
        above[level] = "".join(lines[start:end]).strip().strip("#=- \n")
        begun = end
    yield " > ".join(above[key] for key in sorted(above)), "".join(lines[begun:])


def _headings(text: str) -> Iterator[tuple[int, int, int]]:
    """Top-level headings as (first line, line after, level)."""
    for token in _markdown.parse(text):
        if token.type == "heading_open" and token.level == 0 and token.map is not None:
            yield token.map[0], token.map[1], int(token.tag[1])


def rows_of(document: Document, tenant: str) -> list[Row]:
    """Passages of an article, as they are indexed."""
    return [
        Row(
            document.id,
            tenant,
            document.title,
            tuple(document.topics),
            piece.headings,
            piece.text,
            document.scope,
            document.rev,
        )
        for piece in cut(document.text)
    ]
