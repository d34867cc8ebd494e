"""Markdown files with optional YAML front matter; the body is kept verbatim."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Final

import yaml
from markdown_it import MarkdownIt
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.document import Document, InvalidArticleError, ParsedItem, build_documents, slug
from trunkline_rag.core.scope import ScopeError, read_scope

_FRONT_MATTER: Final = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n?", re.DOTALL)
_markdown: Final = MarkdownIt()


def parse_markdown(file: ArticleFile) -> Iterator[ParsedItem]:
    """Parse one article; without front matter, the file name gives the id and the first heading the title."""
    try:
        yield from _documents(file)
    except (InvalidArticleError, ScopeError) as error:
        yield ImportProblem(name=file.name, reason=str(error))


def _documents(file: ArticleFile) -> list[Document]:
    fields, body = _front_matter(file.content)
    title = str(fields.get("title") or _first_heading(body) or PurePath(file.name).stem)
    return build_documents(
        id_=str(fields.get("id") or slug(PurePath(file.name).stem)),
        title=title,
        text=body,
        topics=fields.get("topics"),
        updated=str(fields.get("updated") or ""),
        scope=read_scope(fields),
    )


def _front_matter(content: str) -> tuple[dict[str, Any], str]:
    match = _FRONT_MATTER.match(content)
    if match is None:
        return {}, content
    try:
        fields = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise InvalidArticleError(f"front matter: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise InvalidArticleError("front matter must be a mapping")
    return fields, content[match.end() :]


def _first_heading(body: str) -> str:
    tokens = _markdown.parse(body)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            return following.content
    return ""
