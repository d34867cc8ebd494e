"""JSON Lines files: one article per line; an invalid line does not affect the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from trunkline_protocols.decoding import DecodeError, Decoder, read_names
from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.document import (
    InvalidArticleError,
    ParsedItem,
    build_documents,
    first_repeated,
)
from trunkline_rag.core.articles.identity import slug
from trunkline_rag.core.scope import ScopeError, check_field_names, read_scope


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


_decode_line: Final = Decoder[_Line](_Line).decode


def parse_json_lines(file: ArticleFile, first_line: int = 1) -> Iterator[ParsedItem]:
    """Parse every line that is not blank; a problem is reported as `file:line`, counted from `first_line`."""
    # Only at line feeds: JSON strings may hold the other separators of `splitlines`.
    for number, line in enumerate(file.content.split("\n"), start=first_line):
        if not line.strip():
            continue
        try:
            decoded = _decode_line(line)
            _check_names(line)
            yield from build_documents(
                file,
                id_=slug(decoded.id),
                title=decoded.title,
                text=decoded.content,
                topics=decoded.topics,
                updated=decoded.updated,
                scope=read_scope(msgspec.structs.asdict(decoded)),
                line=number,
            )
        except (DecodeError, InvalidArticleError, ScopeError) as error:
            yield ImportProblem(name=f"{file.name}:{number}", reason=str(error))


def _check_names(line: str) -> None:
    """Refuse a field in another spelling, and one that is given twice, of which a decoder keeps the last."""
    names = read_names(line)
    if (name := first_repeated(names)) is not None:
        raise InvalidArticleError(f"field {name!r} is given twice")
    check_field_names(names)
