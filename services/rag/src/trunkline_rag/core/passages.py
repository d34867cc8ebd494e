"""Articles become passages: whole blocks of Markdown, verbatim, each knowing the headings above it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt

from trunkline_rag.core.articles import Document
from trunkline_rag.core.index import Row

LONGEST_CHARACTERS: Final = 900

# Blocks are all that is asked for: what stands inside of them is quoted as it is, and parsing it would take longest.
_markdown: Final = MarkdownIt().disable(["inline", "text_join"])


@dataclass(frozen=True, slots=True)
class Piece:
    """A verbatim part of an article, and the headings that it stands under."""

    text: str
    headings: str


def cut(text: str) -> list[Piece]:
    """Cut an article at its blocks; a block longer than a passage stays whole.

    Every piece's text is a substring of the article's text.
    """
    lines = text.splitlines(keepends=True)
    pieces: list[Piece] = []
    headings: dict[int, str] = {}
    first: int | None = None
    last = 0

    def close() -> None:
        nonlocal first
        if first is not None:
            body = "".join(lines[first:last]).strip()
            if body:
                pieces.append(Piece(body, " > ".join(headings[level] for level in sorted(headings))))
        first = None

    for start, end, level in _blocks(text):
        if level:
            close()
            headings = {above: heading for above, heading in headings.items() if above < level}
            headings[level] = "".join(lines[start:end]).strip().strip("#=- \n")
            continue
        if first is not None and len("".join(lines[first:end])) > LONGEST_CHARACTERS:
            close()
        first = start if first is None else first
        last = end
    close()
    return pieces


def _blocks(text: str) -> list[tuple[int, int, int]]:
    """Top-level blocks as (first line, line after, heading level or 0)."""
    return [
        (token.map[0], token.map[1], int(token.tag[1]) if token.type == "heading_open" else 0)
        for token in _markdown.parse(text)
        if token.level == 0 and token.map is not None and token.nesting >= 0
    ]


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
