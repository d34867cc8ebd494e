"""The file formats of articles, by file name suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Final

import msgspec
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.csv_table import parse_csv
from trunkline_rag.core.articles.document import InvalidArticleError, ParsedItem
from trunkline_rag.core.articles.encoding import decode_file, decode_page, normalise
from trunkline_rag.core.articles.html_page import parse_html
from trunkline_rag.core.articles.json_lines import parse_json_lines
from trunkline_rag.core.articles.limits import LINES_SUFFIX
from trunkline_rag.core.articles.markdown import parse_markdown
from trunkline_rag.core.articles.pdf import parse_pdf
from trunkline_rag.core.scope import ScopeError

_PARSERS: Final[dict[str, Callable[[ArticleFile], Iterator[ParsedItem]]]] = {
    ".md": parse_markdown,
    ".markdown": parse_markdown,
    ".mdx": parse_markdown,
    ".txt": parse_markdown,
    ".html": parse_html,
    ".htm": parse_html,
    ".pdf": parse_pdf,
    ".csv": parse_csv,
}
_PAGES: Final = (".html", ".htm")
_PDF: Final = ".pdf"
SUFFIXES: Final = (*_PARSERS, LINES_SUFFIX)
"""Lower-case suffixes of the supported formats."""


def parse(file: ArticleFile, first_line: int = 1) -> Iterator[ParsedItem]:
    """Parse a file in the format that its suffix names; any failure is a problem of this file only.

    `first_line` numbers the first line of a piece of a JSON Lines file. Raises `MemoryError`.
    """
    suffix = PurePath(file.name).suffix.lower()
    if suffix not in SUFFIXES:
        yield ImportProblem(name=file.name, reason=f"suffix must be one of: {', '.join(sorted(SUFFIXES))}")
        return
    try:
        file = _decoded(file, suffix)
        if suffix == LINES_SUFFIX:
            yield from parse_json_lines(file, first_line)
        else:
            yield from _PARSERS[suffix](file)
    except MemoryError:
        raise
    except (InvalidArticleError, ScopeError) as error:
        yield ImportProblem(name=file.name, reason=str(error))
    except Exception as error:  # parsers of third parties raise anything; one file never ends an import
        yield ImportProblem(name=file.name, reason=f"cannot be read: {type(error).__name__}")


def decode_article(name: str, data: bytes) -> str:
    """Decode a text file as an import does; raise `InvalidArticleError`."""
    is_page = PurePath(name).suffix.lower() in _PAGES
    return normalise(decode_page(data) if is_page else decode_file(data))


def _decoded(file: ArticleFile, suffix: str) -> ArticleFile:
    """Return a text file with its content; raise `InvalidArticleError`."""
    if suffix == _PDF:
        return file
    content = decode_article(file.name, file.data) if file.data else normalise(file.content)
    return msgspec.structs.replace(file, content=content, data=b"")
