"""Ids of articles, derived from the paths of their files."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

import msgspec
from trunkline_protocols.knowledge import ArticleFile

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A valid id."""

_SEPARATOR: Final = "--"
_MAX_CHARACTERS: Final = 58
"""Leaves room for the number of a part."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*")
_ABOVE: Final = ("/", ".", "..")
_PREFERRED: Final = (".md", ".markdown", ".mdx", ".html", ".htm", ".pdf", ".txt", ".csv", ".jsonl")
"""Formats in the order in which they get the shorter id, if files differ by their suffix only."""


def slug(text: str) -> str:
    """Derive a valid id from a text, deterministically; a valid id is returned unchanged.

    Composed and decomposed accents make the same id: file systems normalise names differently.
    """
    if ID.fullmatch(text):
        return text
    text = unicodedata.normalize("NFC", text)
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:48]
    return f"{made}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}".strip("-")


def path_id(name: str) -> str:
    """Derive an id from the path of a file within its import: those of `returns/how to.md` and `how to.md` differ."""
    path = PurePosixPath(name)
    path = path.with_suffix("") if path.name else path
    parts = [part for part in path.parts if part not in _ABOVE]
    if len(parts) == 1:
        return slug(parts[0])
    readable = _SEPARATOR.join(parts)
    if len(readable) <= _MAX_CHARACTERS and all(map(_PLAIN.fullmatch, parts)):
        return readable
    return slug("/".join(parts))


def file_ids(names: Iterable[str]) -> dict[str, str]:
    """Return the ids of files that are imported together, by name; if paths differ by suffix only, it is appended."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names, key=_rank):
        id_ = path_id(name)
        if id_ in taken:
            id_ = f"{id_[: _MAX_CHARACTERS - 10]}-{PurePosixPath(name).suffix[1:].lower()}"
        taken.add(id_)
        ids[name] = id_
    return ids


def _rank(name: str) -> tuple[int, str]:
    suffix = PurePosixPath(name).suffix.lower()
    return (_PREFERRED.index(suffix) if suffix in _PREFERRED else len(_PREFERRED), name)


def with_ids(files: Sequence[ArticleFile]) -> Iterator[ArticleFile]:
    """Give each file of an import the id of an article that does not name its own."""
    ids = file_ids(file.name for file in files)
    return (msgspec.structs.replace(file, id=file.id or ids[file.name]) for file in files)
