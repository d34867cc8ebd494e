"""The file formats of articles, by file name suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Final

from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.document import ParsedItem
from trunkline_rag.core.articles.html_page import parse_html
from trunkline_rag.core.articles.json_lines import parse_json_lines
from trunkline_rag.core.articles.markdown import parse_markdown
from trunkline_rag.core.articles.pdf import parse_pdf

_PARSERS: Final[dict[str, Callable[[ArticleFile], Iterator[ParsedItem]]]] = {
    ".md": parse_markdown,
    ".markdown": parse_markdown,
    ".html": parse_html,
    ".htm": parse_html,
    ".jsonl": parse_json_lines,
    ".pdf": parse_pdf,
}
SUFFIXES: Final = tuple(_PARSERS)
"""Lower-case suffixes of the supported formats."""


def parse(file: ArticleFile) -> Iterator[ParsedItem]:
    """Parse a file in the format that its suffix names."""
    parser = _PARSERS.get(PurePath(file.name).suffix.lower())
    if parser is None:
        yield ImportProblem(name=file.name, reason=f"suffix must be one of: {', '.join(sorted(_PARSERS))}")
        return
    yield from parser(file)
