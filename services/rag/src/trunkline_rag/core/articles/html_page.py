"""HTML pages: one article each, with the access rules of its `meta` elements or front matter."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Final

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError
from trunkline_protocols.knowledge import ArticleFile

from trunkline_rag.core.articles.document import Document, InvalidArticleError, build_documents, read_text_field
from trunkline_rag.core.articles.front_matter import split_front_matter
from trunkline_rag.core.articles.html_content import PageContent, read_content
from trunkline_rag.core.articles.html_text import write_markdown
from trunkline_rag.core.articles.limits import MAX_DEPTH, MAX_OPEN_TAGS
from trunkline_rag.core.scope import read_scope

_VOID_TAGS: Final = frozenset({"base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_CLOSED_BY_SIBLINGS: Final = frozenset({"p", "li", "dt", "dd", "option", "tr", "td", "th", "thead", "tbody", "tfoot"})
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_SCOPE_FIELDS: Final = ("region", "language", "specialties", "visibility", "valid_from", "valid_until")


def parse_html(file: ArticleFile) -> Iterator[Document]:
    """Parse one article: all that a reader sees, less navigation.

    Raises `InvalidArticleError` and `ScopeError`.
    """
    fields, source = split_front_matter(file.content)
    _check_open_tags(source)
    title, fields, content = _read_page(source, fields)
    text, words = write_markdown(content)
    first, *others = build_documents(
        file,
        id_=read_text_field(fields, "id"),
        title=read_text_field(fields, "title") or title,
        text=text,
        topics=fields.get("topics"),
        updated=read_text_field(fields, "updated"),
        scope=read_scope(fields),
    )
    yield dataclasses.replace(first, words=words)
    yield from others


def _read_page(source: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any], PageContent]:
    """Return the title, the fields and the content of a page; its tree, which needs much memory, is freed."""
    try:
        tree = LexborHTMLParser(source)
    except SelectolaxError as error:
        raise InvalidArticleError("the page is too large for the memory of the parser") from error
    _check_depth(tree.root)
    return _title(tree), _with_metadata(fields, tree), read_content(tree)


def _title(tree: LexborHTMLParser) -> str:
    node = tree.css_first("head title") or tree.css_first("h1")
    return " ".join(node.text().split()) if node is not None else ""


def _with_metadata(fields: dict[str, Any], tree: LexborHTMLParser) -> dict[str, Any]:
    """Add the scope fields of the `meta` elements; HTML compares their names without case.

    Raises `InvalidArticleError` if a field is given twice: one of the values would silently count.
    """
    found = dict(fields)
    for node in tree.css("meta[name]"):
        name = (node.attributes.get("name") or "").strip().lower().replace("-", "_")
        if name not in _SCOPE_FIELDS:
            continue
        if name in found:
            raise InvalidArticleError(f"meta {name!r} is given twice")
        content = node.attributes.get("content") or ""
        found[name] = content.replace(",", " ").split() if name == "specialties" else content
    return found


def _check_open_tags(source: str) -> None:
    """Refuse a hostile page before it is read: the time of the parser grows with the square of the depth."""
    depth = 0
    for match in _TAG.finditer(source):
        closing, name = match.groups()
        if (name := name.lower()) in _VOID_TAGS or name in _CLOSED_BY_SIBLINGS:
            continue
        depth = max(depth - 1, 0) if closing else depth + 1
        if depth > MAX_OPEN_TAGS:
            raise InvalidArticleError(f"more than {MAX_OPEN_TAGS} tags are open at a time")


def _check_depth(root: LexborNode | None) -> None:
    """Raise `InvalidArticleError` if elements are nested too deeply."""
    node, depth = root, 1
    while node is not None:
        if depth > MAX_DEPTH:
            raise InvalidArticleError(f"elements are nested more than {MAX_DEPTH} deep")
        following = node.child
        if following is not None:
            depth += 1
        else:
            while node is not None and (following := node.next) is None:
                node, depth = node.parent, depth - 1
        node = following
