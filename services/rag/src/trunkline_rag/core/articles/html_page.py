"""HTML pages: readable blocks become Markdown; navigation, scripts and styles are dropped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.document import InvalidArticleError, ParsedItem, build_documents, slug
from trunkline_rag.core.articles.limits import MAX_DEPTH, MAX_OPEN_TAGS
from trunkline_rag.core.scope import ScopeError, read_scope

_DROPPED_TAGS: Final = ("script", "style", "nav", "header", "footer", "aside", "noscript", "template", "form")
_HEADING_TAGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_VOID_TAGS: Final = frozenset({"base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_CLOSED_BY_SIBLINGS: Final = frozenset({"p", "li", "dt", "dd", "option", "tr", "td", "th", "thead", "tbody", "tfoot"})
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_SCOPE_FIELDS: Final = ("region", "language", "visibility", "valid_from", "valid_until")


def parse_html(file: ArticleFile) -> Iterator[ParsedItem]:
    """Parse one article: the content of `main`, `article` or `body`, with the scope from the `meta` elements."""
    try:
        _check_open_tags(file.content)
        tree = LexborHTMLParser(file.content)
        _check_depth(tree.root)
        title_node = tree.css_first("title") or tree.css_first("h1")
        title = " ".join(title_node.text().split()) if title_node is not None else ""
        metadata = _metadata(tree)
        _drop(tree.css(", ".join(_DROPPED_TAGS)))
        root = tree.css_first("main") or tree.css_first("article") or tree.body
        text = "\n\n".join(_blocks(root)) if root is not None else ""
        yield from build_documents(
            id_=slug(PurePath(file.name).stem),
            title=title or PurePath(file.name).stem,
            text=text,
            topics=None,
            scope=read_scope(metadata),
        )
    except (InvalidArticleError, ScopeError) as error:
        yield ImportProblem(name=file.name, reason=str(error))


def _metadata(tree: LexborHTMLParser) -> dict[str, str]:
    """Return the scope fields of the `meta` elements; HTML compares their names without case.

    Raises `InvalidArticleError` if a field is given twice: one of the values would silently count.
    """
    found: dict[str, str] = {}
    for node in tree.css("meta[name]"):
        name = (node.attributes.get("name") or "").strip().lower().replace("-", "_")
        if name in found:
            raise InvalidArticleError(f"meta {name!r} is given twice")
        if name in _SCOPE_FIELDS:
            found[name] = node.attributes.get("content") or ""
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


def _drop(nodes: list[LexborNode]) -> None:
    """Remove nodes, given in document order; one inside another is freed with it and must not be touched again."""
    dropped: set[int] = set()
    outermost = []
    for node in nodes:
        above = node.parent
        while above is not None and above.mem_id not in dropped:
            above = above.parent
        if above is None:
            outermost.append(node)
        dropped.add(node.mem_id)
    for node in outermost:
        node.decompose()


def _blocks(root: LexborNode) -> Iterator[str]:
    """Yield readable blocks in document order, as Markdown; nested ones once."""
    containers = _ancestors(root.css("p, li"))
    for node in root.css("h1, h2, h3, h4, h5, h6, p, li, td, pre, blockquote"):
        # A block that contains other blocks is read through them.
        if node.mem_id in containers:
            continue
        text = " ".join(node.text().split())
        if not text:
            continue
        if node.tag in _HEADING_TAGS:
            yield f"{'#' * int(node.tag[1])} {text}"
        else:
            yield f"- {text}" if node.tag == "li" else text


def _ancestors(nodes: list[LexborNode]) -> set[int]:
    """Return the memory ids of all ancestors, each visited once."""
    found: set[int] = set()
    for node in nodes:
        above = node.parent
        while above is not None and above.mem_id not in found:
            found.add(above.mem_id)
            above = above.parent
    return found
