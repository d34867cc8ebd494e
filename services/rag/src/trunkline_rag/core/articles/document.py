"""The article as it is stored, and the validation that all file formats share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from trunkline_protocols.knowledge import ImportProblem

from trunkline_rag.core.scope import UNRESTRICTED, Scope

MAX_ARTICLE_BYTES: Final = 60_000
"""Maximum size of one row's text in the store; a longer text is split into several articles."""

_MAX_PARTS: Final = 100
_MAX_TITLE_CHARACTERS: Final = 90
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


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


def slug(text: str) -> str:
    """Derive a valid id from a text, deterministically; a valid id is returned unchanged."""
    if _ID.fullmatch(text):
        return text
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:48]
    return f"{made}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".strip("-")


def build_documents(
    *, id_: str, title: str, text: str, topics: object, updated: str = "", scope: Scope | None = None
) -> list[Document]:
    """Validate parsed fields; split a text that exceeds a row into several articles between its blocks.

    Raises `InvalidArticleError`.
    """
    title, text, updated = (_LONE_SURROGATE.sub("\ufffd", value) for value in (title, text, updated))
    if _ID.fullmatch(id_) is None:
        raise InvalidArticleError(f"id {id_[:80]!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    names = topics if isinstance(topics, list) else []
    for name in names:
        if not isinstance(name, str) or _ID.fullmatch(name) is None:
            raise InvalidArticleError(f"topic {name!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    if not text.strip():
        raise InvalidArticleError("text is empty")
    # Milvus limits bytes, and a character takes up to four.
    parts = _split(text) if len(text.encode()) > MAX_ARTICLE_BYTES else [text]
    if len(parts) > _MAX_PARTS:
        raise InvalidArticleError(f"{len(text)} characters, at most {_MAX_PARTS * MAX_ARTICLE_BYTES // 2} are accepted")
    title = title.strip()[:_MAX_TITLE_CHARACTERS] or id_
    return [
        Document(
            id=id_ if number == 1 else f"{id_[:58]}-p{number}",
            title=title if number == 1 else f"{title} ({number} of {len(parts)})",
            text=part,
            topics=names,
            updated=updated,
            scope=scope or UNRESTRICTED,
        )
        for number, part in enumerate(parts, start=1)
    ]


def _split(text: str) -> list[str]:
    parts: list[str] = []
    part: list[str] = []
    size = 0
    for block in re.split(r"(?<=\n)(?=\n)", text):
        length = len(block.encode())
        if length > MAX_ARTICLE_BYTES:
            raise InvalidArticleError(f"a paragraph of {length} bytes, at most {MAX_ARTICLE_BYTES} are accepted")
        if part and size + length > MAX_ARTICLE_BYTES:
            parts.append("".join(part))
            part, size = [], 0
        part.append(block)
        size += length
    return [*parts, "".join(part)]
