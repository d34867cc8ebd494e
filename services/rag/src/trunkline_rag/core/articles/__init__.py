"""Parsing of article files: Markdown, plain text, HTML, PDF, CSV and JSON Lines, one module per format.

An input that cannot be used is reported as an `ImportProblem` with its location and reason.
"""

from __future__ import annotations

from trunkline_rag.core.articles.document import (
    MAX_ARTICLE_BYTES,
    Document,
    InvalidArticleError,
    ParsedItem,
    WordCount,
)
from trunkline_rag.core.articles.formats import SUFFIXES, decode_article, parse
from trunkline_rag.core.articles.identity import file_ids, slug, with_ids
from trunkline_rag.core.articles.import_report import ImportReport

__all__ = [
    "MAX_ARTICLE_BYTES",
    "SUFFIXES",
    "Document",
    "ImportReport",
    "InvalidArticleError",
    "ParsedItem",
    "WordCount",
    "decode_article",
    "file_ids",
    "parse",
    "slug",
    "with_ids",
]
