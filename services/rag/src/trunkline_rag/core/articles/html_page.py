"""HTML pages: readable blocks become Markdown; navigation, scripts and styles are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.document import InvalidArticleError, ParsedItem, build_documents, slug
from trunkline_rag.core.scope import ScopeError, read_scope

_DROPPED_TAGS: Final = ("script", "style", "nav", "header", "footer", "aside", "noscript", "template", "form")
_HEADING_TAGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_SCOPE_FIELDS: Final = ("region", "language", "visibility", "valid_from", "valid_until")


def parse_html(file: ArticleFile) -> Iterator[ParsedItem]:
    """Parse one article: the content of `main`, `article` or `body`, with the scope from the `meta` elements."""
    tree = LexborHTMLParser(file.content)
    title_node = tree.css_first("title") or tree.css_first("h1")
    title = " ".join(title_node.text().split()) if title_node is not None else ""
    metadata = {node.attributes.get("name"): node.attributes.get("content") for node in tree.css("meta[name]")}
    for tag in _DROPPED_TAGS:
        for node in tree.css(tag):
            node.decompose()
    root = tree.css_first("main") or tree.css_first("article") or tree.body
    text = "\n\n".join(_blocks(root)) if root is not None else ""
    try:
        yield from build_documents(
            id_=slug(PurePath(file.name).stem),
            title=title or PurePath(file.name).stem,
            text=text,
            topics=None,
            scope=read_scope({str(name): value for name, value in metadata.items() if name in _SCOPE_FIELDS}),
        )
    except (InvalidArticleError, ScopeError) as error:
        yield ImportProblem(name=file.name, reason=str(error))


def _blocks(root: LexborNode) -> Iterator[str]:
    """Yield readable blocks in document order, as Markdown; nested ones once."""
    for node in root.css("h1, h2, h3, h4, h5, h6, p, li, td, pre, blockquote"):
        # A block that contains other blocks is read through them; the selector also matches the node itself.
        if any(inner.mem_id != node.mem_id for inner in node.css("p, li")):
            continue
        text = " ".join(node.text().split())
        if not text:
            continue
        if node.tag in _HEADING_TAGS:
            yield f"{'#' * int(node.tag[1])} {text}"
        else:
            yield f"- {text}" if node.tag == "li" else text
