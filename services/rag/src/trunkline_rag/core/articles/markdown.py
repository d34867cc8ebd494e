"""Markdown and plain text files with optional front matter; the body is kept verbatim."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePath
from typing import Final

from markdown_it import MarkdownIt
from trunkline_protocols.knowledge import ArticleFile

from trunkline_rag.core.articles.document import Document, build_documents, read_text_field
from trunkline_rag.core.articles.front_matter import split_front_matter
from trunkline_rag.core.scope import read_scope

# Only the source of the first heading is needed, and inline parsing takes long for some texts.
_markdown: Final = MarkdownIt().disable(["inline", "text_join"])
_WORD: Final = re.compile(r"\w")

_FENCE: Final = re.compile(r"\s*(`{3,}|~{3,})")
_MODULE_CODE: Final = re.compile(r"(?:import|export)\s")
_COMPONENT_TAGS: Final = re.compile(r"\s*(?:</?[A-Z][\w.]*(?:\s[^<>]*)?/?>\s*|</?>\s*)+")
_COMMENT: Final = re.compile(r"\{/\*.*?\*/\}")


def parse_markdown(file: ArticleFile) -> Iterator[Document]:
    """Parse one article; without front matter, the path gives the id and the first heading the title.

    Raises `InvalidArticleError` and `ScopeError`.
    """
    fields, body = split_front_matter(file.content)
    suffix = PurePath(file.name).suffix.lower()
    if suffix == ".mdx":
        body = without_components(body)
    title = read_text_field(fields, "title") or _first_heading(body)
    if not title and suffix == ".txt":
        title = _first_line(body)
    yield from build_documents(
        file,
        id_=read_text_field(fields, "id"),
        title=title,
        text=body,
        topics=fields.get("topics"),
        updated=read_text_field(fields, "updated"),
        scope=read_scope(fields),
    )


def _first_heading(body: str) -> str:
    tokens = _markdown.parse(body)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            return following.content
    return ""


def _first_line(body: str) -> str:
    """Return the first line with a word."""
    return next((line.strip() for line in body.split("\n") if _WORD.search(line)), "")


def without_components(body: str) -> str:
    """Return MDX without imports, exports, comments and lines of component tags, outside of code blocks."""
    kept: list[str] = []
    fence = ""
    is_module_code = False
    for line in body.split("\n"):
        opened = _FENCE.match(line)
        if fence:
            fence = "" if opened and opened[1].startswith(fence) else fence
        elif opened:
            fence, is_module_code = opened[1], False
        else:
            is_module_code = bool(line.strip()) and (is_module_code or _MODULE_CODE.match(line) is not None)
            if is_module_code or _COMPONENT_TAGS.fullmatch(line):
                continue
            line = _COMMENT.sub("", line)  # noqa: PLW2901 - the line without its comments
        kept.append(line)
    return "\n".join(kept)
