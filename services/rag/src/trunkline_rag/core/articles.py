"""Files become articles: Markdown with front matter, HTML, PDF, JSON Lines. What cannot be read is reported."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Final, TypeAlias

import msgspec
import yaml
from markdown_it import MarkdownIt
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from selectolax.lexbor import LexborHTMLParser, LexborNode
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.scope import EVERYBODY, Scope, ScopeError, read_scope

LONGEST_ARTICLE_BYTES: Final = 60_000
"""What one row of the store holds; a longer text becomes several articles."""

_MOST_PARTS: Final = 100
_MOST_PAGES: Final = 2_000
_META: Final = ("region", "language", "visibility", "valid_from", "valid_until")

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FRONT_MATTER: Final = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n?", re.DOTALL)
_UNREADABLE: Final = ("script", "style", "nav", "header", "footer", "aside", "noscript", "template", "form")
_HEADING_TAGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_markdown: Final = MarkdownIt()


@dataclass(frozen=True, slots=True)
class Document:
    """An article as it is stored; `text` is Markdown, and what is quoted is verbatim in it."""

    id: str
    title: str
    text: str
    topics: list[str] = field(default_factory=list)
    updated: str = ""
    scope: Scope = EVERYBODY
    source: str = ""
    """Which folder it was taken from: what is gone from there goes from here."""
    rev: int = 0
    """Grows with every change; 0 before it is stored."""

    @property
    def digest(self) -> str:
        """Changes with anything that is stored."""
        parts = [self.id, self.title, self.text, *self.topics, self.updated, repr(self.scope)]
        return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


class UnusableError(ValueError):
    """A file, or a line of it, is no article; the message says why."""


Parsed: TypeAlias = Document | ImportProblem


def parse(file: ArticleFile) -> Iterator[Parsed]:
    """Read a file by the ending of its name."""
    reader = _READERS.get(PurePath(file.name).suffix.lower())
    if reader is None:
        yield ImportProblem(name=file.name, reason=f"not one of {', '.join(sorted(_READERS))}")
        return
    yield from reader(file)


def slug(text: str) -> str:
    """Make an id of a text that is none: the same for the same text."""
    if _ID.fullmatch(text):
        return text
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:48]
    return f"{made}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".strip("-")


# -- Markdown ---


def _read_markdown(file: ArticleFile) -> Iterator[Parsed]:
    try:
        yield from _markdown_documents(file)
    except (UnusableError, ScopeError) as error:
        yield ImportProblem(name=file.name, reason=str(error))


def _markdown_documents(file: ArticleFile) -> list[Document]:
    fields, body = _front_matter(file.content)
    title = str(fields.get("title") or _first_heading(body) or PurePath(file.name).stem)
    return _documents(
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
        raise UnusableError(f"front matter: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise UnusableError("front matter: not a list of keys and values")
    return fields, content[match.end() :]


def _first_heading(body: str) -> str:
    tokens = _markdown.parse(body)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            return following.content
    return ""


# -- HTML ---


def _read_html(file: ArticleFile) -> Iterator[Parsed]:
    tree = LexborHTMLParser(file.content)
    title_node = tree.css_first("title") or tree.css_first("h1")
    title = " ".join(title_node.text().split()) if title_node is not None else ""
    said = {node.attributes.get("name"): node.attributes.get("content") for node in tree.css("meta[name]")}
    for tag in _UNREADABLE:
        for node in tree.css(tag):
            node.decompose()
    root = tree.css_first("main") or tree.css_first("article") or tree.body
    text = "\n\n".join(_blocks(root)) if root is not None else ""
    try:
        yield from _documents(
            id_=slug(PurePath(file.name).stem),
            title=title or PurePath(file.name).stem,
            text=text,
            topics=None,
            scope=read_scope({str(name): value for name, value in said.items() if name in _META}),
        )
    except (UnusableError, ScopeError) as error:
        yield ImportProblem(name=file.name, reason=str(error))


def _blocks(root: LexborNode) -> Iterator[str]:
    """Readable blocks in order, as Markdown; nested ones once."""
    for node in root.css("h1, h2, h3, h4, h5, h6, p, li, td, pre, blockquote"):
        # What holds other blocks is read through them; the selector finds the node itself as well.
        if any(inner.mem_id != node.mem_id for inner in node.css("p, li")):
            continue
        text = " ".join(node.text().split())
        if not text:
            continue
        if node.tag in _HEADING_TAGS:
            yield f"{'#' * int(node.tag[1])} {text}"
        else:
            yield f"- {text}" if node.tag == "li" else text


# -- PDF ---


def _read_pdf(file: ArticleFile) -> Iterator[Parsed]:
    try:
        reader = PdfReader(BytesIO(file.data))
        pages = [page.extract_text() for page in reader.pages[:_MOST_PAGES]]
        title = str((reader.metadata and reader.metadata.title) or "")
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        yield ImportProblem(name=file.name, reason=f"not a readable PDF: {type(error).__name__} {error}")
        return
    text = "\n\n".join(_paragraphs("\n\n".join(pages)))
    if not text:
        yield ImportProblem(name=file.name, reason="a PDF without text; scanned pages need text recognition first")
        return
    try:
        yield from _documents(
            id_=slug(PurePath(file.name).stem), title=title.strip() or PurePath(file.name).stem, text=text, topics=None
        )
    except UnusableError as error:
        yield ImportProblem(name=file.name, reason=str(error))


def _paragraphs(text: str) -> Iterator[str]:
    """Lines that a page has broken become paragraphs again."""
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(block.split())
        if line:
            yield line


# -- JSON Lines ---


class _Line(msgspec.Struct):
    id: str
    title: str
    content: str
    topics: list[str] = []
    updated: str = ""
    region: str = ""
    language: str = ""
    specialties: list[str] = []
    visibility: str = "public"
    valid_from: str = ""
    valid_until: str = ""


_decode_line: Final = msgspec.json.Decoder(_Line).decode


def _read_jsonl(file: ArticleFile) -> Iterator[Parsed]:
    for number, line in enumerate(file.content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            read = _decode_line(line)
            yield from _documents(
                id_=slug(read.id),
                title=read.title,
                text=read.content,
                topics=read.topics,
                updated=read.updated,
                scope=read_scope(msgspec.structs.asdict(read)),
            )
        except (msgspec.DecodeError, UnusableError, ScopeError) as error:
            yield ImportProblem(name=f"{file.name}:{number}", reason=str(error))


# -- what all have in common ---


def _documents(
    *, id_: str, title: str, text: str, topics: object, updated: str = "", scope: Scope | None = None
) -> list[Document]:
    """Check what was read; a text longer than a row becomes several articles, cut between its blocks."""
    if _ID.fullmatch(id_) is None:
        raise UnusableError(f"id {id_[:80]!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    names = topics if isinstance(topics, list) else []
    for name in names:
        if not isinstance(name, str) or _ID.fullmatch(name) is None:
            raise UnusableError(f"topic {name!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    if not text.strip():
        raise UnusableError("no text in it")
    # Milvus counts bytes, and a character may need four.
    parts = _parts(text) if len(text.encode()) > LONGEST_ARTICLE_BYTES else [text]
    if len(parts) > _MOST_PARTS:
        raise UnusableError(f"{len(text)} characters, at most {_MOST_PARTS * LONGEST_ARTICLE_BYTES // 2} are taken")
    title = title.strip()[:90] or id_
    return [
        Document(
            id=id_ if number == 1 else f"{id_[:58]}-p{number}",
            title=title if number == 1 else f"{title} ({number} of {len(parts)})",
            text=part,
            topics=names,
            updated=updated,
            scope=scope or EVERYBODY,
        )
        for number, part in enumerate(parts, start=1)
    ]


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    part: list[str] = []
    size = 0
    for block in re.split(r"(?<=\n)(?=\n)", text):
        length = len(block.encode())
        if length > LONGEST_ARTICLE_BYTES:
            raise UnusableError(f"a paragraph of {length} bytes, at most {LONGEST_ARTICLE_BYTES} are taken")
        if part and size + length > LONGEST_ARTICLE_BYTES:
            parts.append("".join(part))
            part, size = [], 0
        part.append(block)
        size += length
    return [*parts, "".join(part)]


_READERS: Final[dict[str, Callable[[ArticleFile], Iterator[Parsed]]]] = {
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".html": _read_html,
    ".htm": _read_html,
    ".jsonl": _read_jsonl,
    ".pdf": _read_pdf,
}
