"""The content of a page: its elements reduced to those that Markdown has, and the words that a reader sees.

Everything that is shown is kept by default. Navigation, page headers and page footers are left out, by element or by
the role that stands for it (https://www.w3.org/TR/html-aam-1.0/), as well as everything that is never shown.
"""

from __future__ import annotations

import html
import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

TERM_END: Final = "\ue000"
"""Follows each term of a definition list; a character of the private use area, which is removed from texts."""

_SKIPPED: Final = frozenset(
    """annotation audio canvas datalist embed head iframe img input nav noscript object rp script style template
    video""".split()  # noqa: SIM905 - a list of words reads better without quotes
)
_SKIPPED_ROLES: Final = frozenset({"navigation", "banner", "contentinfo"})
_PAGE_PARTS: Final = frozenset({"header", "footer"})
_SECTIONS: Final = frozenset(
    {"main", "article", "section", "aside", "blockquote", "details", "fieldset", "figure", "td"}
)
"""Elements whose own header and footer are content, not those of the page."""

_KEPT_INLINE: Final = frozenset({"code", "del", "s", "sub", "sup", "q"})
_KEPT: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "blockquote"}) | _KEPT_INLINE
_TABLE: Final = frozenset({"table", "thead", "tbody", "tfoot", "tr", "td", "th"})
_RENAMED: Final = {
    "menu": "ul", "dir": "ul", "kbd": "code", "samp": "code", "tt": "code", "strike": "s", "listing": "pre",
    "xmp": "pre", "plaintext": "pre",
}  # fmt: skip
_BLOCKS: Final = frozenset(
    """address article aside body button center dd details dialog div dl dt fieldset figcaption figure footer form
    header hgroup legend main optgroup option search section select summary textarea""".split()  # noqa: SIM905
)
_INLINE: Final = frozenset(
    """abbr acronym b bdi bdo big cite data dfn em font i ins label mark math meter mfrac mi mn mo mrow ms msub msup
    mtext nobr output progress rb rt ruby semantics slot small span strong svg text time tspan u var wbr""".split()  # noqa: SIM905
)
_NUMBERS: Final = {"ol": ("start",), "td": ("colspan", "rowspan"), "th": ("colspan", "rowspan")}
_DIGITS: Final = 3
_PARTS: Final = 4_096
_PIECE_SIZE: Final = 200_000
"""Size of a piece of HTML; the converter needs thirty times as much memory."""

_ADDRESS: Final = re.compile(r"(?:https?://|mailto:|tel:)[^\s<>]+\Z", re.IGNORECASE)
_WORD: Final = re.compile(r"\w")
_BLANKS: Final = re.compile(r"\s+")
_IN_CELL: Final = "table table, table pre, pre, ul, ol, dl, blockquote, h1, h2, h3, h4, h5, h6, p + p"
"""Content that a cell of a Markdown table, or a link, cannot hold."""


class PageContent:
    """Reduced HTML, in pieces between blocks, and the text that a reader sees, with blanks between blocks."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.html: list[_Text] = [_Text()]
        self.text = _Text()


class _Text:
    """A text that is made of many parts; they are joined from time to time, since small strings need much memory."""

    def __init__(self) -> None:
        self._joined: list[str] = []
        self._parts: list[str] = []
        self.size = 0
        """Number of characters that are no blanks around a part."""

    def append(self, part: str) -> None:
        self.size += len(part.strip())
        self._parts.append(part)
        if len(self._parts) == _PARTS:
            self._join()

    def _join(self) -> None:
        self._joined.append("".join(self._parts))
        self._parts.clear()

    def __str__(self) -> str:
        self._join()
        return "".join(self._joined)


def read_content(tree: LexborHTMLParser) -> PageContent:
    """Return the content of the main elements; if they hold less than half of the body's text, that of the body."""
    whole = PageContent()
    if tree.body is not None:
        _Reader(whole).read(tree.body)
    main = PageContent()
    last: LexborNode | None = None
    for node in tree.css('main, [role="main"]'):
        if last is None or not _is_inside(node, last):
            _Reader(main).read(node)
            last = node
    return main if 2 * main.text.size > whole.text.size else whole


def _is_inside(node: LexborNode, above: LexborNode) -> bool:
    parent = node.parent
    while parent is not None and parent.mem_id != above.mem_id:
        parent = parent.parent
    return parent is not None


class _Reader:
    """Reads elements recursively; the depth of a page is limited before."""

    def __init__(self, content: PageContent) -> None:
        self._pieces = content.html
        self._html = content.html[-1]
        self._text = content.text
        self._divisions = 0
        self._others = 0
        """Number of open elements other than divisions; a piece of HTML ends only between those."""
        self._data_tables: dict[int, bool] = {}
        """Whether a table holds data, by the id of its node."""
        self._sections = 0
        """Number of elements around the current one that may have a header of their own."""

    def read(self, node: LexborNode) -> None:
        """Read a node with its content."""
        if node.is_text_node:
            self._read_text(node.text_content or "")
            return
        tag = node.tag or ""
        if not node.is_element_node or self._is_skipped(node, tag):
            return
        tag = _RENAMED.get(tag, tag)
        if tag in {"br", "hr"}:
            self._html.append(f"<{tag}>")
            self._text.append(" ")
        elif tag == "pre":
            self._read_pre(node)
        elif tag == "a":
            self._read_link(node)
        elif tag == "caption" or (tag in _TABLE and not self._is_in_data(node)):
            self._read_as(node, "div", is_separate=True)
        elif tag in _KEPT or tag in _TABLE:
            self._read_as(node, tag, is_separate=tag not in _KEPT_INLINE)
        elif tag in _INLINE:
            self._read_children(node)
        elif tag in _BLOCKS:
            self._read_as(node, "div", is_separate=True)
        else:
            # A custom element may be a block.
            self._separate()
            self._read_children(node)
            self._separate()

    def _is_skipped(self, node: LexborNode, tag: str) -> bool:
        if tag in _SKIPPED or node.attributes.get("role") in _SKIPPED_ROLES:
            return True
        return tag in _PAGE_PARTS and not self._sections

    def _is_in_data(self, node: LexborNode) -> bool:
        table = _table_of(node)
        if table is None:
            return False
        if table.mem_id not in self._data_tables:
            self._data_tables[table.mem_id] = _has_data(table)
        return self._data_tables[table.mem_id]

    def _read_children(self, node: LexborNode) -> None:
        is_section = node.tag in _SECTIONS or node.attributes.get("role") == "main"
        self._sections += is_section
        child = node.child
        while child is not None:
            self.read(child)
            child = child.next
        self._sections -= is_section

    def _read_text(self, text: str) -> None:
        text = _BLANKS.sub(" ", text.replace(TERM_END, ""))
        self._html.append(html.escape(text, quote=False))
        self._text.append(text)

    def _may_end_piece(self) -> None:
        """Start another piece of HTML if this one is large: divisions are closed, and opened in the next one."""
        if self._others or self._html.size < _PIECE_SIZE:
            return
        self._html.append("</div>" * self._divisions)
        self._html = _Text()
        self._html.append("<div>" * self._divisions)
        self._pieces.append(self._html)

    def _separate(self) -> None:
        self._html.append(" ")
        self._text.append(" ")

    def _read_as(self, node: LexborNode, tag: str, *, is_separate: bool) -> None:
        """Read an element under another name, or its own."""
        values = ((name, node.attributes.get(name) or "") for name in _NUMBERS.get(tag, ()))
        numbers = "".join(f' {name}="{value}"' for name, value in values if value.isdecimal() and len(value) <= _DIGITS)
        if is_separate:
            self._may_end_piece()
            self._text.append(" ")
        self._html.append(f"<{tag}{numbers}>")
        is_division = tag == "div"
        self._divisions += is_division
        self._others += not is_division
        self._read_children(node)
        self._divisions -= is_division
        self._others -= not is_division
        if is_separate:
            self._text.append(" ")
        if node.tag == "dt":
            self._html.append(TERM_END)
        self._html.append(f"</{tag}>")

    def _read_pre(self, node: LexborNode) -> None:
        """Read preformatted text with its line breaks."""
        parts = []
        for part in node.traverse(include_text=True):
            if part.is_text_node:
                parts.append((part.text_content or "").replace(TERM_END, "").replace("\xa0", " "))
            elif part.tag == "br":
                parts.append("\n")
        text = "".join(parts)
        self._may_end_piece()
        # The first line break of the element is not part of its text.
        self._html.append(f"<pre>\n{html.escape(text, quote=False)}</pre>")
        self._text.append(f" {text} ")

    def _read_link(self, node: LexborNode) -> None:
        """Read a link: its address if it leads out of the pages, and no text if it only marks a heading."""
        address = (node.attributes.get("href") or "").strip()
        if address.startswith("#") and _WORD.search(node.text()) is None:
            return
        is_kept = _ADDRESS.match(address) is not None and node.css_first(_IN_CELL) is None
        if not is_kept:
            self._read_children(node)
            return
        self._html.append(f'<a href="{html.escape(address)}">')
        self._others += 1
        self._read_children(node)
        self._others -= 1
        self._html.append("</a>")


def _table_of(node: LexborNode) -> LexborNode | None:
    """Return a table, or the one around a part of a table."""
    table: LexborNode | None = node
    while table is not None and table.tag != "table":
        table = table.parent
    return table


def _has_data(table: LexborNode) -> bool:
    """Return whether a table holds data that Markdown can show, and is not used for layout."""
    if table.css_first("th") is not None:
        return table.css_first("table table, pre") is None
    is_grid = table.css_first("tr + tr, thead + tbody, tbody + tbody") is not None
    return is_grid and table.css_first("td + td") is not None and table.css_first(_IN_CELL) is None
