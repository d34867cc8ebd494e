"""CSV files: one article per row, with the columns of JSON Lines or `question` and `answer`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import PurePath
from typing import Final

from trunkline_protocols.knowledge import ArticleFile, ImportProblem

from trunkline_rag.core.articles.document import (
    Document,
    InvalidArticleError,
    ParsedItem,
    build_documents,
    first_repeated,
)
from trunkline_rag.core.articles.identity import path_id, slug
from trunkline_rag.core.scope import ScopeError, check_field_names, read_scope

_MEANINGS: Final = {"question": "title", "answer": "content", "text": "content"}
"""Columns of other names than the fields of JSON Lines."""

_FIELDS: Final = (
    "id", "title", "content", "topics", "updated",
    "region", "language", "specialties", "visibility", "valid_from", "valid_until",
)  # fmt: skip
_LISTS: Final = ("topics", "specialties")
_DELIMITERS: Final = ",;\t"


def parse_csv(file: ArticleFile) -> Iterator[ParsedItem]:
    """Parse every row that is not blank; a problem of a row is reported as `file:line`.

    Raises `InvalidArticleError` if the first row does not name the columns: without it, an access rule would be lost.
    """
    columns, delimiter = _columns(file.content)
    rows = csv.reader(StringIO(file.content, newline=""), delimiter=delimiter, strict=True)
    next(rows)
    line = rows.line_num + 1
    while True:
        try:
            row = next(rows)
            if any(map(str.strip, row)):
                yield from _documents(file, columns, row, line)
        except StopIteration:
            return
        except csv.Error as error:
            # The rest may be part of an open quotation.
            yield ImportProblem(name=f"{file.name}:{line}", reason=f"the rest is not read: {error}")
            return
        except (InvalidArticleError, ScopeError) as error:
            yield ImportProblem(name=f"{file.name}:{line}", reason=str(error))
        line = rows.line_num + 1


def _columns(content: str) -> tuple[list[str], str]:
    """Return the fields of the columns, and the delimiter."""
    first, _, _ = content.partition("\n")
    for delimiter in _DELIMITERS:
        try:
            names = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter, strict=True), [])]
        except csv.Error:
            continue
        columns = [_MEANINGS.get(name, name) for name in names]
        if {"title", "content"} <= set(columns):
            if (name := first_repeated(columns)) is not None:
                raise InvalidArticleError(f"column {name!r} is given twice")
            check_field_names(columns)
            if unknown := [name for name in columns if name not in _FIELDS]:
                raise InvalidArticleError(
                    f"column {unknown[0]!r} must be one of: question, answer, {', '.join(_FIELDS)}"
                )
            return columns, delimiter
    raise InvalidArticleError("the first row must name the columns: question and answer, or title and text")


def _documents(file: ArticleFile, columns: list[str], row: list[str], line: int) -> list[Document]:
    if len(row) != len(columns):
        raise InvalidArticleError(f"{len(row)} cells, but {len(columns)} columns")
    cells = dict(zip(columns, map(str.strip, row), strict=True))
    fields = {name: _names(cell) if name in _LISTS else cell for name, cell in cells.items()}
    file_id = file.id or path_id(file.name)
    return build_documents(
        file,
        id_=slug(cells["id"]) if cells.get("id") else slug(f"{file_id} {cells['title'] or cells['content']}"),
        title=cells["title"] or PurePath(file.name).stem,
        text=cells["content"],
        topics=fields.get("topics"),
        updated=cells.get("updated", ""),
        scope=read_scope(fields),
        line=line,
    )


def _names(cell: str) -> list[str]:
    return cell.replace(",", " ").replace(";", " ").split()
