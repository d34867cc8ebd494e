"""Conversion of articles and passages to rows of the store and back, and of an audience to a filter expression."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from trunkline_protocols.decoding import convert

from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_row import PassageRow, row_terms
from trunkline_rag.core.question import Vectors
from trunkline_rag.core.scope import Scope, SearchAudience
from trunkline_rag.core.versions import ArticleVersion

_MARK: Final = {0: 1.0}


def article_key(tenant: str, document: str, rev: int) -> str:
    """Return the primary key of one version."""
    return f"{tenant}/{document}/{rev:06d}"


def article_row(tenant: str, document: Document) -> dict[str, Any]:
    """Convert one version of an article."""
    return {
        "key": article_key(tenant, document.id, document.rev),
        "document": document.id,
        "tenant": tenant,
        "title": document.title,
        "text": document.text,
        "topics": document.topics,
        "scope": msgspec.to_builtins(document.scope),
        "rev": document.rev,
        "updated": document.updated[:100],
        "digest": document.digest,
        "source": document.source,
        "is_removed": False,
        "mark": _MARK,
    }


def tombstone_row(tenant: str, document: str, rev: int) -> dict[str, Any]:
    """Return the row that marks an article as removed."""
    return version_row(ArticleVersion(tenant, Document(document, "", "", rev=rev), is_removed=True))


def read_document(row: dict[str, Any]) -> Document:
    """Convert a row to an article."""
    return Document(
        id=row["document"],
        title=row["title"],
        text=row["text"],
        topics=list(row["topics"]),
        updated=row["updated"],
        scope=convert(row["scope"], Scope),
        source=row["source"],
        rev=row["rev"],
    )


def version_row(version: ArticleVersion) -> dict[str, Any]:
    """Convert a version, which may be a tombstone."""
    return {**article_row(version.tenant, version.document), "is_removed": version.is_removed}


def read_version(row: dict[str, Any]) -> ArticleVersion:
    """Convert a row to a version, which may be a tombstone."""
    return ArticleVersion(row["tenant"], read_document(row), row["is_removed"])


def passage_rows(
    rows: Sequence[PassageRow],
    vectors: Vectors | None,
    *,
    native_search: bool,
    within: Sequence[PassageRow] | None = None,
    start: int = 0,
) -> list[dict[str, Any]]:
    """Convert passages; if they are a batch of `within` at `start`, positions count from the document's first passage.

    Passages of one document must be adjacent.
    """
    position = 0
    while within is not None and position < start and within[start - position - 1].is_same_document(within[start]):
        position += 1
    made: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        if number and not row.is_same_document(rows[number - 1]):
            position = 0
        made.append(_passage_row(row, position))
        if native_search:
            made[-1]["words"] = " ".join(row_terms(row))
        if vectors is not None:
            made[-1]["vector"] = vectors[number].tolist()
        elif not native_search:
            made[-1]["mark"] = _MARK
        position += 1
    return made


def _passage_row(row: PassageRow, position: int) -> dict[str, Any]:
    return {
        "key": f"{row.tenant}/{row.document}/{row.rev:06d}/{position:05d}",
        "document": row.document,
        "tenant": row.tenant,
        "title": row.title,
        "headings": row.headings,
        "text": row.text,
        "sentences": base64.b64encode(row.sentences).decode(),
        "topics": list(row.topics),
        "scope": msgspec.to_builtins(row.scope),
        "rev": row.rev,
        "place": position,
        "is_internal": row.scope.visibility == "internal",
        "region": row.scope.region,
        "language": row.scope.language,
        "valid_from": row.scope.valid_from,
        "valid_until": row.scope.valid_until,
    }


def read_passage(stored: dict[str, Any]) -> PassageRow:
    """Convert a row to a passage."""
    return PassageRow(
        document=stored["document"],
        tenant=stored["tenant"],
        title=stored["title"],
        topics=tuple(stored["topics"]),
        headings=stored["headings"],
        text=stored["text"],
        scope=convert(stored["scope"], Scope),
        rev=stored["rev"],
        sentences=base64.b64decode(stored["sentences"]) if "sentences" in stored else b"",
    )


def audience_filter(tenant: str, topics: Sequence[str], audience: SearchAudience) -> str:
    """Return `SearchAudience.may_see` as a Milvus expression; specialties are left to the index."""
    parts = [f'tenant == "{tenant}"']
    if not audience.internal:
        parts.append("is_internal == false")
    if topics:
        parts.append(f"json_contains_any(topics, [{', '.join(f'{chr(34)}{topic}{chr(34)}' for topic in topics)}])")
    parts += [
        f'{field} in ["", "{value}"]'
        for field, value in (("region", audience.region), ("language", audience.language))
        if value
    ]
    if audience.today:
        parts += [f'valid_from <= "{audience.today}"', f'(valid_until == "" or valid_until >= "{audience.today}")']
    return " and ".join(parts)
