"""The store on Milvus: Milvus Lite in a folder of ours, or a server by its address. Milvus is the truth.

A passage carries its weighted terms as a sparse vector, so that a server can search natively; on Lite, which looks at
every row at every search, reads come from the in-process index over the same rows.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient, MilvusException
from trunkline_language.terms import terms

from trunkline_rag.core.articles import Document
from trunkline_rag.core.index import Row
from trunkline_rag.core.passages import cut

_ARTICLES: Final = "articles"
_PASSAGES: Final = "passages"
# It warns at every read that the embedded server tells no timestamp.
logging.getLogger("pymilvus").setLevel(logging.ERROR)

_TERM_DIMENSIONS: Final = 1 << 24
_BATCH: Final = 500
_ALL: Final = 'key != ""'


class StoreInUseError(RuntimeError):
    """Another process has the folder open."""

    def __init__(self, folder: Path) -> None:
        """Say what to do."""
        super().__init__(f"{folder} is open in another process: Milvus Lite serves one; stop that one first")


class MilvusStore:
    """Articles and passages in two collections; keys are made of tenant, document and position."""

    def __init__(self, uri: str) -> None:
        """Open the store and make what is missing."""
        self._lite = None if "://" in uri else Path(uri).absolute() / "knowledge.db"
        self._client = _open_lite(self._lite) if self._lite is not None else MilvusClient(uri)
        self._make_collections()

    def put(self, tenant: str, documents: list[Document]) -> int:
        """Write the new rows, then remove what the documents no longer have; flush, because unflushed rows are slow."""
        passages = 0
        for start in range(0, len(documents), _BATCH):
            passages += self._put_batch(tenant, documents[start : start + _BATCH])
        self._client.flush(_ARTICLES)
        self._client.flush(_PASSAGES)
        return passages

    def _put_batch(self, tenant: str, documents: list[Document]) -> int:
        rows = [row for document in documents for row in _passage_rows(tenant, document)]
        old = self._keys_of(tenant, [document.id for document in documents])
        for start in range(0, len(rows), _BATCH):
            self._client.upsert(_PASSAGES, rows[start : start + _BATCH])
        surplus = sorted(old - {row["key"] for row in rows})
        if surplus:
            self._client.delete(_PASSAGES, ids=surplus)
        # Last: an article whose digest is stored has all its passages, also after a crash in between.
        self._client.upsert(_ARTICLES, [_article_row(tenant, document) for document in documents])
        return len(rows)

    def get(self, tenant: str, document: str) -> Document | None:
        """Read by key."""
        found = self._client.get(_ARTICLES, ids=[f"{tenant}/{document}"])
        if not found:
            return None
        row = found[0]
        return Document(
            id=row["document"], title=row["title"], text=row["text"], topics=list(row["topics"]), updated=row["updated"]
        )

    def rows(self) -> list[Row]:
        """Read every passage, batch by batch."""
        fields = ["document", "tenant", "title", "topics", "headings", "text"]
        return [
            Row(
                document=row["document"],
                tenant=row["tenant"],
                title=row["title"],
                topics=tuple(row["topics"]),
                headings=row["headings"],
                text=row["text"],
            )
            for row in self._every(_PASSAGES, _ALL, ["key", *fields])
        ]

    def digests(self, tenant: str) -> dict[str, str]:
        """Read the digests of a tenant's articles."""
        rows = self._every(_ARTICLES, f'tenant == "{tenant}"', ["document", "digest"])
        return {row["document"]: row["digest"] for row in rows}

    def close(self) -> None:
        """Close; the embedded server gives its folder free only when told."""
        self._client.close()
        if self._lite is not None:
            server_manager_instance.release_server(str(self._lite))

    def _keys_of(self, tenant: str, documents: list[str]) -> set[str]:
        names = ", ".join(f'"{document}"' for document in documents)
        rows = self._every(_PASSAGES, f'tenant == "{tenant}" and document in [{names}]', ["key"])
        return {row["key"] for row in rows}

    def _every(self, collection: str, condition: str, fields: list[str]) -> list[dict[str, Any]]:
        iterator = self._client.query_iterator(collection, filter=condition, output_fields=fields, batch_size=_BATCH)
        found: list[dict[str, Any]] = []
        try:
            while batch := iterator.next():
                found.extend(batch)
        finally:
            iterator.close()
        return sorted(found, key=lambda row: row.get("key", ""))

    def _make_collections(self) -> None:
        text = {"datatype": DataType.VARCHAR, "max_length": 65_535}
        name = {"datatype": DataType.VARCHAR, "max_length": 400}
        common = {"document": name, "tenant": name, "title": name, "text": text}
        self._make(_ARTICLES, {**common, "updated": name, "digest": name})
        self._make(_PASSAGES, {**common, "headings": text})

    def _make(self, collection: str, fields: dict[str, dict[str, Any]]) -> None:
        if self._client.has_collection(collection):
            self._client.load_collection(collection)
            return
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=200)
        for field, kind in fields.items():
            schema.add_field(field, **kind)
        schema.add_field("topics", DataType.JSON)
        schema.add_field("terms", DataType.SPARSE_FLOAT_VECTOR)
        index = self._client.prepare_index_params()
        index.add_index("terms", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        self._client.create_collection(collection, schema=schema, index_params=index)


def _open_lite(file: Path) -> MilvusClient:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return MilvusClient(str(file))
    except (MilvusException, OSError, RuntimeError) as error:
        with contextlib.suppress(Exception):
            server_manager_instance.release_server(str(file))
        if "Open local milvus failed" in str(error):
            raise StoreInUseError(file.parent) from error
        raise


def _article_row(tenant: str, document: Document) -> dict[str, Any]:
    return {
        "key": f"{tenant}/{document.id}",
        "document": document.id,
        "tenant": tenant,
        "title": document.title,
        "text": document.text,
        "topics": document.topics,
        "updated": document.updated,
        "digest": document.digest,
        "terms": _sparse(document.title),
    }


def _passage_rows(tenant: str, document: Document) -> list[dict[str, Any]]:
    return [
        {
            "key": f"{tenant}/{document.id}/{position:05d}",
            "document": document.id,
            "tenant": tenant,
            "title": document.title,
            "headings": piece.headings,
            "text": piece.text,
            "topics": document.topics,
            "terms": _sparse(f"{document.title} {piece.headings} {piece.text}"),
        }
        for position, piece in enumerate(cut(document.text))
    ]


def _sparse(text: str) -> dict[int, float]:
    """Counted terms by hashed dimension; never empty, which Milvus would refuse."""
    counted = Counter(crc32(term.encode()) % _TERM_DIMENSIONS for term in terms(text))
    return {dimension: float(count) for dimension, count in counted.items()} or {0: 1.0}
