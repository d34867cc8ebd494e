"""The article as it is stored, and the validation that all file formats share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final, TypeAlias

from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.identity import ID, path_id
from trunkline_rag.core.scope import UNRESTRICTED, Scope

MAX_ARTICLE_BYTES: Final = 60_000
"""Maximum size of one row's text in the store; a longer text is split into several articles."""

_MAX_PARTS: Final = 100
_MAX_TITLE_CHARACTERS: Final = 90
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class WordCount:
    """Number of words that a reader of a file sees, and number of those that its articles hold."""

    visible: int = 0
    kept: int = 0

    @property
    def share(self) -> float:
        """Share of the visible words that are kept, from 0 to 1."""
        return self.kept / self.visible if self.visible else 1.0


@dataclass(frozen=True, slots=True)
class Document:
    """An article as it is stored; `text` is Markdown and is quoted verbatim."""

    id: str
    title: str
    text: str
    topics: list[str] = field(default_factory=list)
    updated: str = ""
    scope: Scope = UNRESTRICTED
    source: str = ""
    """Import source; an import with `prune` removes articles that its source no longer contains."""
    rev: int = 0
    """Version number, incremented by every change; 0 before the article is stored."""
    origin: str = field(default="", compare=False)
    """File that the article was parsed from, with the line in JSON Lines and CSV; not stored."""
    words: WordCount | None = field(default=None, compare=False)
    """Words of the page that the article was parsed from, in the first article of a page; not stored."""

    @property
    def digest(self) -> str:
        """SHA-256 of all stored content except `source` and `rev`."""
        parts = [self.id, self.title, self.text, *self.topics, self.updated, repr(self.scope)]
        return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


class InvalidArticleError(ValueError):
    """A file, or a line of it, is not a valid article; the message gives the reason."""

    quotes_input = True


ParsedItem: TypeAlias = Document | ImportProblem


def first_repeated(names: Iterable[str]) -> str | None:
    """Return the first name that occurs a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def read_text_field(fields: Mapping[str, Any], key: str) -> str:
    """Return a field as text, empty if it is missing; raise `InvalidArticleError` if it is a list or a mapping."""
    value = fields.get(key)
    if isinstance(value, (list, dict)):
        raise InvalidArticleError(f"{key} must be one value")
    return str(value or "")


def build_documents(
    file: ArticleFile,
    *,
    title: str,
    text: str,
    topics: object = None,
    id_: str = "",
    updated: str = "",
    scope: Scope | None = None,
    line: int = 0,
) -> list[Document]:
    """Validate parsed fields; split a text that exceeds a row into several articles between its blocks.

    Without an id, that of the file is taken. `line` is the line of an article in a file of many. Raises
    `InvalidArticleError`.
    """
    title, text, updated = (_LONE_SURROGATE.sub("\ufffd", value) for value in (title, text, updated))
    id_ = id_ or file.id or path_id(file.name)
    if ID.fullmatch(id_) is None:
        raise InvalidArticleError(f"id {id_[:80]!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    names = _topics(topics)
    if not text.strip():
        raise InvalidArticleError("text is empty")
    # Milvus limits bytes, and a character takes up to four.
    parts = _split(text) if len(text.encode()) > MAX_ARTICLE_BYTES else [text]
    if len(parts) > _MAX_PARTS:
        raise InvalidArticleError(f"{len(text)} characters, at most {_MAX_PARTS * MAX_ARTICLE_BYTES // 2} are accepted")
    title = title.strip()[:_MAX_TITLE_CHARACTERS] or PurePath(file.name).stem[:_MAX_TITLE_CHARACTERS]
    origin = f"{file.name}:{line}" if line else file.name
    return [
        Document(
            id=id_ if number == 1 else f"{id_[:58]}-p{number}",
            title=title if number == 1 else f"{title} ({number} of {len(parts)})",
            text=part,
            topics=names,
            updated=updated,
            scope=scope or UNRESTRICTED,
            origin=origin,
        )
        for number, part in enumerate(parts, start=1)
    ]


def _topics(value: object) -> list[str]:
    """Return a list of topics; one topic need not be a list."""
    if value is not None and not isinstance(value, (str, list)):
        raise InvalidArticleError("topics must be a list")
    names = [value] if isinstance(value, str) and value else list(value or [])
    for name in names:
        if not isinstance(name, str) or ID.fullmatch(name) is None:
            raise InvalidArticleError(f"topic {name!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    return names


def _split(text: str) -> list[str]:
    """Split a text between paragraphs, a longer paragraph between lines, and a longer line between words."""
    parts: list[str] = []
    part: list[str] = []
    size = 0
    for block in _blocks(text):
        length = len(block.encode())
        if part and size + length > MAX_ARTICLE_BYTES:
            parts.append("".join(part))
            part, size = [], 0
        part.append(block)
        size += length
    return [*parts, "".join(part)]


def _blocks(text: str) -> Iterator[str]:
    """Yield consecutive pieces of a text, none of which exceeds a row; raise `InvalidArticleError`."""
    for paragraph in re.split(r"(?<=\n)(?=\n)", text):
        if len(paragraph.encode()) <= MAX_ARTICLE_BYTES:
            yield paragraph
            continue
        for line in re.split(r"(?<=\n)", paragraph):
            if len(line.encode()) <= MAX_ARTICLE_BYTES:
                yield line
            else:
                yield from _words(line)


def _words(line: str) -> Iterator[str]:
    for word in re.split(r"(?<=\s)(?=\S)", line):
        if (length := len(word.encode())) > MAX_ARTICLE_BYTES:
            raise InvalidArticleError(f"a word of {length} bytes, at most {MAX_ARTICLE_BYTES} are accepted")
        yield word
