"""Parsing of article files: Markdown with front matter, HTML, PDF and JSON Lines, one module per format.

An input that cannot be used is reported as an `ImportProblem` with its location and reason.
"""

from __future__ import annotations

from trunkline_rag.core.articles.document import MAX_ARTICLE_BYTES, Document, InvalidArticleError, ParsedItem, slug
from trunkline_rag.core.articles.formats import SUFFIXES, parse

__all__ = ["MAX_ARTICLE_BYTES", "SUFFIXES", "Document", "InvalidArticleError", "ParsedItem", "parse", "slug"]
