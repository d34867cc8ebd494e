"""Articles and passages as rows of the store, and back; who may see what, as Milvus reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from trunkline_rag.core.articles import Document
from trunkline_rag.core.backups import Version
from trunkline_rag.core.index import Row, row_terms
from trunkline_rag.core.question import Vectors
from trunkline_rag.core.scope import Audience, Scope

_MARK: Final = {0: 1.0}


def article_key(tenant: str, document: str, rev: int) -> str:
    """Make the key of one version."""
    return f"{tenant}/{document}/{rev:06d}"


def article_row(tenant: str, document: Document) -> dict[str, Any]:
    """Make the row of one version of an article."""
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


def tombstone(tenant: str, document: str, rev: int) -> dict[str, Any]:
    """Make the row that says that an article is gone."""
    return version_row(Version(tenant, Document(document, "", "", rev=rev), is_removed=True))


def read_document(row: dict[str, Any]) -> Document:
    """Read a version of an article."""
    return Document(
        id=row["document"],
        title=row["title"],
        text=row["text"],
        topics=list(row["topics"]),
        updated=row["updated"],
        scope=msgspec.convert(row["scope"], Scope),
        source=row["source"],
        rev=row["rev"],
    )


def version_row(version: Version) -> dict[str, Any]:
    """Make the row of a version, of an article that is there or gone."""
    return {**article_row(version.tenant, version.document), "is_removed": version.is_removed}


def read_version(row: dict[str, Any]) -> Version:
    """Read a version, of an article that is there or gone."""
    return Version(row["tenant"], read_document(row), row["is_removed"])


def passage_rows(
    rows: Sequence[Row], vectors: Vectors | None, *, searched: bool, within: Sequence[Row] | None = None, start: int = 0
) -> list[dict[str, Any]]:
    """Make the rows of passages; `within` is the whole that they are part of, where a document's stand together."""
    place = 0
    while within is not None and place < start and within[start - place - 1].same_document(within[start]):
        place += 1
    made: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        if number and not row.same_document(rows[number - 1]):
            place = 0
        made.append(_passage_row(row, place))
        if searched:
            made[-1]["words"] = " ".join(row_terms(row))
        if vectors is not None:
            made[-1]["vector"] = vectors[number].tolist()
        elif not searched:
            made[-1]["mark"] = _MARK
        place += 1
    return made


def _passage_row(row: Row, place: int) -> dict[str, Any]:
    return {
        "key": f"{row.tenant}/{row.document}/{row.rev:06d}/{place:05d}",
        "document": row.document,
        "tenant": row.tenant,
        "title": row.title,
        "headings": row.headings,
        "text": row.text,
        "topics": list(row.topics),
        "scope": msgspec.to_builtins(row.scope),
        "rev": row.rev,
        "place": place,
        "is_internal": row.scope.visibility == "internal",
        "region": row.scope.region,
        "language": row.scope.language,
        "valid_from": row.scope.valid_from,
        "valid_until": row.scope.valid_until,
    }


def read_row(stored: dict[str, Any]) -> Row:
    """Read a passage."""
    return Row(
        document=stored["document"],
        tenant=stored["tenant"],
        title=stored["title"],
        topics=tuple(stored["topics"]),
        headings=stored["headings"],
        text=stored["text"],
        scope=msgspec.convert(stored["scope"], Scope),
        rev=stored["rev"],
    )


def condition(tenant: str, topics: Sequence[str], asker: Audience) -> str:
    """The same as `Audience.may_see`, as Milvus reads it; specialties are left to the index."""
    parts = [f'tenant == "{tenant}"']
    if not asker.internal:
        parts.append("is_internal == false")
    if topics:
        parts.append(f"json_contains_any(topics, [{', '.join(f'{chr(34)}{topic}{chr(34)}' for topic in topics)}])")
    parts += [
        f'{field} in ["", "{value}"]'
        for field, value in (("region", asker.region), ("language", asker.language))
        if value
    ]
    if asker.today:
        parts += [f'valid_from <= "{asker.today}"', f'(valid_until == "" or valid_until >= "{asker.today}")']
    return " and ".join(parts)
