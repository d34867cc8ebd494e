"""Sources of an answer in the terminal: one line per article."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_protocols.citations import Citation


def source_lines(citations: Sequence[Citation]) -> list[str]:
    """Return one line per cited article and version, in the order of the answer, each with its quotes.

    The number of an article is that of its marks in the text; without marks, articles are numbered from 1 on.
    """
    articles: dict[tuple[str, int], list[Citation]] = {}
    for citation in citations:
        articles.setdefault((citation.document, citation.rev), []).append(citation)
    has_marks = any(citation.mark for citation in citations)
    lines = []
    for number, cited in enumerate(articles.values(), start=1):
        marks = dict.fromkeys(citation.mark for citation in cited if citation.mark)
        label = "".join(f"[{mark}] " for mark in (marks if has_marks else [number]))
        quotes = ", ".join(f'"{quote}"' for quote in dict.fromkeys(citation.quote for citation in cited))
        lines.append(f"{label}{cited[0].title} ({cited[0].document}): {quotes}")
    return lines
