"""The store on Milvus: Milvus Lite in a folder of ours, or a server by its address. Milvus is the truth.

Two collections: `articles` holds every version of every article; the alias `passages` names the collection of the
passages in force, made for one embedder. The row of an article is its commit: passages are written before it, and
those that no latest version owns are swept when the store is opened: a crash in between neither loses nor doubles any.

A server searches natively, by hybrid search. Lite looks at every row at every search: there the index in the process
answers over the same rows.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import numpy as np
from milvus_lite.server_manager import server_manager_instance
from pymilvus import AnnSearchRequest, DataType, Function, FunctionType, MilvusClient, MilvusException, RRFRanker

from trunkline_rag.adapters.milvus.collections import article_fields, passage_fields
from trunkline_rag.adapters.milvus.rows import (
    article_key,
    article_row,
    condition,
    passage_rows,
    read_document,
    read_row,
    rows_with_places,
    tombstone,
)
from trunkline_rag.core.articles import Document
from trunkline_rag.core.index import RANK_CONSTANT
from trunkline_rag.core.question import Question
from trunkline_rag.core.scope import Asker
from trunkline_rag.ports import Filed, Head, Holdings, StoreUnavailableError

# It warns at every read that the embedded server tells no timestamp.
logging.getLogger("pymilvus").setLevel(logging.ERROR)

_ARTICLES: Final = "articles_v2"
_PASSAGES: Final = "passages"
_WORDS_ONLY: Final = "lexical"
_BATCH: Final = 500
_TIMEOUT_S: Final = 10.0
_ALL: Final = 'key != ""'

P = ParamSpec("P")
R = TypeVar("R")


class StoreInUseError(RuntimeError):
    """Another process has the folder open."""

    def __init__(self, folder: Path) -> None:
        """Say what to do."""
        super().__init__(f"{folder} is open in another process: Milvus Lite serves one; stop that one first")


def _reaching(call: Callable[Concatenate[MilvusStore, P], R]) -> Callable[Concatenate[MilvusStore, P], R]:
    """Tell a store that does not answer from one that refuses."""

    @wraps(call)
    def reach(store: MilvusStore, /, *arguments: P.args, **options: P.kwargs) -> R:
        try:
            return call(store, *arguments, **options)
        except (MilvusException, OSError, ValueError) as error:
            raise StoreUnavailableError(f"Milvus: {error}") from error

    return reach


class MilvusStore:
    """Keys are made of tenant, document, version and position."""

    def __init__(
        self, uri: str, *, embedder: str = _WORDS_ONLY, dimensions: int = 0, native: bool | None = None
    ) -> None:
        """Open the store for one embedder and make what is missing. `native` is for tests; else servers only."""
        self._lite = None if "://" in uri else Path(uri).absolute() / "knowledge.db"
        self.is_native = native if native is not None else self._lite is None
        self._tag = re.sub(r"[^A-Za-z0-9]+", "_", embedder)
        self._dimensions = dimensions
        self._client = _open_lite(self._lite) if self._lite is not None else MilvusClient(uri, timeout=_TIMEOUT_S)
        self._make(_ARTICLES, article_fields())
        self._collection = self._in_force() or self._new_collection()
        self._client.load_collection(self._collection)
        self._heads = self._read_heads()
        self._sweep()

    # -- writing ---

    def heads(self, tenant: str) -> dict[str, Head]:
        """Known since the opening: one process writes."""
        return {document: head for (owner, document), head in self._heads.items() if owner == tenant}

    @_reaching
    def put(self, tenant: str, filed: Sequence[Filed]) -> None:
        """Write the new passages, then the article, which puts them in force, then remove the old passages."""
        vectors_fit = self._collection.startswith(f"{_PASSAGES}_{self._tag}_")
        rows = [row for article in filed for row in passage_rows(article, with_vectors=vectors_fit)]
        for start in range(0, len(rows), _BATCH):
            self._client.insert(self._collection, rows[start : start + _BATCH])
        self._client.insert(_ARTICLES, [article_row(tenant, article.document) for article in filed])
        replaced = [article.document.id for article in filed if (tenant, article.document.id) in self._heads]
        for article in filed:
            document = article.document
            self._heads[tenant, document.id] = Head(document.rev, document.digest, document.source)
        self._drop_old(tenant, replaced)

    @_reaching
    def remove(self, tenant: str, documents: Sequence[str]) -> None:
        """Mark the articles as gone, then remove their passages."""
        known = [document for document in documents if (tenant, document) in self._heads]
        if not known:
            return
        self._client.insert(
            _ARTICLES,
            [tombstone(tenant, document, self._heads[tenant, document].rev + 1) for document in known],
        )
        for document in known:
            del self._heads[tenant, document]
        self._drop_old(tenant, known)

    @_reaching
    def settle(self) -> None:
        """Flush: unflushed rows are slow to read."""
        self._client.flush(_ARTICLES)
        self._client.flush(self._collection)

    @_reaching
    def replace_vectors(self, holdings: Holdings) -> None:
        """Fill a new collection and swap the alias; the old one serves until then."""
        collection = self._new_collection(in_force=False)
        for start in range(0, len(holdings.rows), _BATCH):
            part = slice(start, start + _BATCH)
            vectors = holdings.vectors[part] if holdings.vectors is not None else None
            self._client.insert(collection, rows_with_places(holdings.rows[part], vectors, holdings.rows, start))
        self._client.flush(collection)
        self._client.load_collection(collection)
        self._client.alter_alias(collection, _PASSAGES)
        old, self._collection = self._collection, collection
        self._client.drop_collection(old)

    # -- reading ---

    @_reaching
    def get(self, tenant: str, document: str, rev: int = 0) -> tuple[Document, bool] | None:
        """Read by key."""
        head = self._heads.get((tenant, document))
        wanted = rev or (head.rev if head is not None else 0)
        found = self._client.get(_ARTICLES, ids=[article_key(tenant, document, wanted)]) if wanted else []
        if not found or found[0]["is_removed"]:
            return None
        return read_document(found[0]), head is not None and head.rev == wanted

    @_reaching
    def holdings(self) -> Holdings:
        """Read every passage, batch by batch; vectors only where they are of this process' embedder."""
        has_vectors = self._dimensions > 0 and self._collection.startswith(f"{_PASSAGES}_{self._tag}_")
        fields = ["key", "document", "tenant", "title", "topics", "headings", "text", "scope", "rev"]
        found = list(self._every(self._collection, _ALL, [*fields, "vector"] if has_vectors else fields))
        # The keys of a document's passages are in their order.
        found.sort(key=lambda row: str(row["key"]))
        vectors = np.array([row["vector"] for row in found], dtype=np.float32) if has_vectors and found else None
        return Holdings([read_row(row) for row in found], vectors)

    @_reaching
    def native_ranks(
        self, question: Question, *, tenant: str, topics: Sequence[str], asker: Asker, limit: int
    ) -> list[list[tuple[str, int]]] | None:
        """Search by the server's own hybrid search, all sentences at once."""
        if not self.is_native or not question.sentences:
            return None
        allowed = condition(tenant, topics, asker)
        words = AnnSearchRequest(
            data=[" ".join(found) for found in question.terms],
            anns_field="terms",
            param={"metric_type": "BM25"},
            limit=limit,
            expr=allowed,
        )
        requests = [words]
        if question.vectors is not None and self._collection.startswith(f"{_PASSAGES}_{self._tag}_"):
            requests.append(
                AnnSearchRequest(
                    data=question.vectors.tolist(),
                    anns_field="vector",
                    param={"metric_type": "IP"},
                    limit=limit,
                    expr=allowed,
                )
            )
        found = self._client.hybrid_search(
            _PASSAGES, reqs=requests, ranker=RRFRanker(RANK_CONSTANT), limit=limit, output_fields=["document", "place"]
        )
        return [[(hit["entity"]["document"], hit["entity"]["place"]) for hit in ranked] for ranked in found]

    def close(self) -> None:
        """Close; the embedded server gives its folder free only when told."""
        self._client.close()
        if self._lite is not None:
            server_manager_instance.release_server(str(self._lite))

    # -- collections ---

    def _in_force(self) -> str | None:
        try:
            described = self._client.describe_alias(_PASSAGES)
        except MilvusException:
            return None
        return str(described["collection_name"]) if described else None

    @property
    def needs_vectors(self) -> bool:
        """The passages in force were embedded by another embedder, or by none."""
        return not self._collection.startswith(f"{_PASSAGES}_{self._tag}_")

    def _new_collection(self, *, in_force: bool = True) -> str:
        name = f"{_PASSAGES}_{self._tag}_{time.time_ns():x}"
        self._make(name, passage_fields(self._dimensions), searched=True)
        if in_force:
            self._client.create_alias(name, _PASSAGES)
        return name

    def _make(self, collection: str, fields: dict[str, dict[str, Any]], *, searched: bool = False) -> None:
        if self._client.has_collection(collection):
            self._client.load_collection(collection)
            return
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=200)
        for field, kind in fields.items():
            schema.add_field(field, **kind)
        index = self._client.prepare_index_params()
        if searched:
            schema.add_function(
                Function(
                    name="bm25",
                    input_field_names=["words"],
                    output_field_names=["terms"],
                    function_type=FunctionType.BM25,
                )
            )
            index.add_index("terms", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
            if self._dimensions:
                index.add_index("vector", index_type="FLAT", metric_type="IP")
        else:
            index.add_index("mark", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        self._client.create_collection(collection, schema=schema, index_params=index)

    # -- what no latest version owns ---

    def _read_heads(self) -> dict[tuple[str, str], Head]:
        heads: dict[tuple[str, str], tuple[Head, bool]] = {}
        for row in self._every(_ARTICLES, _ALL, ["tenant", "document", "rev", "digest", "source", "is_removed"]):
            key = (row["tenant"], row["document"])
            if key not in heads or heads[key][0].rev < row["rev"]:
                heads[key] = (Head(row["rev"], row["digest"], row["source"]), row["is_removed"])
        return {key: head for key, (head, is_removed) in heads.items() if not is_removed}

    def _sweep(self) -> None:
        """Remove passages that a crash has left: written before their article, or not removed after it."""
        orphans = [
            row["key"]
            for row in self._every(self._collection, _ALL, ["key", "tenant", "document", "rev"])
            if (head := self._heads.get((row["tenant"], row["document"]))) is None or head.rev != row["rev"]
        ]
        self._delete(orphans)

    def _drop_old(self, tenant: str, documents: Sequence[str]) -> None:
        for start in range(0, len(documents), _BATCH):
            names = ", ".join(f'"{document}"' for document in documents[start : start + _BATCH])
            theirs = f'tenant == "{tenant}" and document in [{names}]'
            self._delete(
                [
                    row["key"]
                    for row in self._every(self._collection, theirs, ["key", "document", "rev"])
                    if (head := self._heads.get((tenant, row["document"]))) is None or head.rev != row["rev"]
                ]
            )

    def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _BATCH):
            self._client.delete(self._collection, ids=list(keys[start : start + _BATCH]))

    def _every(self, collection: str, where: str, fields: list[str]) -> Iterator[dict[str, Any]]:
        iterator = self._client.query_iterator(collection, filter=where, output_fields=fields, batch_size=_BATCH)
        try:
            while batch := iterator.next():
                yield from batch
        finally:
            iterator.close()


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


