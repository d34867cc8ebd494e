"""PDF files with a text layer; line breaks of the layout are joined into paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from trunkline_protocols.knowledge import ArticleFile

from trunkline_rag.core.articles.document import Document, InvalidArticleError, build_documents

_MAX_PAGES: Final = 2_000


def parse_pdf(file: ArticleFile) -> Iterator[Document]:
    """Parse one article from the text of the first 2,000 pages; raise `InvalidArticleError`."""
    try:
        reader = PdfReader(BytesIO(file.data))
        pages = [page.extract_text() for page in reader.pages[:_MAX_PAGES]]
        title = str((reader.metadata and reader.metadata.title) or "")
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        raise InvalidArticleError(f"not a readable PDF: {type(error).__name__} {error}") from error
    text = "\n\n".join(_paragraphs("\n\n".join(pages)))
    if not text:
        raise InvalidArticleError("a PDF without text; scanned pages need text recognition first")
    yield from build_documents(file, title=title, text=text)


def _paragraphs(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(block.split())
        if line:
            yield line
