"""The store on Milvus: Milvus Lite in a folder of ours, or a server by its address. Milvus is the truth.

Two collections: one holds every version of every article, one the passages in force, made for one embedder. An alias
names the passages, and their name says which articles they belong to: so both are put in force by one change. The row
of an article is its commit: passages are written before it, and those that no latest version owns are removed before
the next writing: a crash in between neither loses nor doubles any.

A server searches natively, by hybrid search. Lite looks at every row at every search: there the index in the process
answers over the same rows, and what only a server's search needs is not stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import numpy as np
from pymilvus import AnnSearchRequest, MilvusException, RRFRanker

from trunkline_rag.adapters.milvus.client import Connection
from trunkline_rag.adapters.milvus.collections import (
    Names,
    article_fields,
    new_generation,
    new_names,
    passage_fields,
    tag_of,
)
from trunkline_rag.adapters.milvus.passage_file import PassageFile
from trunkline_rag.adapters.milvus.rows import (
    article_key,
    article_row,
    condition,
    passage_rows,
    read_document,
    read_row,
    read_version,
    tombstone,
    version_row,
)
from trunkline_rag.core.articles import Document
from trunkline_rag.core.backups import Key, StoreDump
from trunkline_rag.core.index import RANK_CONSTANT
from trunkline_rag.core.question import SearchQuestion
from trunkline_rag.core.scope import Audience
from trunkline_rag.ports import LatestVersion, PassageSet, StagedArticle, StoreUnavailableError

_WORDS_ONLY: Final = "lexical"
_BATCH: Final = 500

P = ParamSpec("P")
R = TypeVar("R")


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
        self._milvus = Connection(uri)
        self.is_native = native if native is not None else self._milvus.is_server
        self.tag = tag_of(embedder)
        self._dimensions = dimensions
        self._take(self._milvus.in_force() or self._first())
        self._is_swept = False
        """Nothing is left of a writing that did not end."""
        self._milvus.load(self._names.articles)
        self._milvus.load(self._names.passages)
        self._heads = self._read_heads()

    # -- writing ---

    def latest_versions(self, tenant: str) -> dict[str, LatestVersion]:
        """Known since the opening, or since the store was refreshed."""
        return {document: head for (owner, document), head in self._present().items() if owner == tenant}

    def next_rev(self, tenant: str, document: str) -> int:
        """Also after the versions of an article that was removed: no number is used twice."""
        head = self._heads.get((tenant, document))
        return head.rev + 1 if head is not None else 1

    @_reaching
    def put(self, tenant: str, filed: Sequence[StagedArticle]) -> None:
        """Write the new passages, then the article, which puts them in force, then remove the old passages."""
        if self.needs_vectors:
            filed = [replace(article, vectors=None) for article in filed]
        searched = self._milvus.has(self._names.passages, "words")
        rows = [row for article in filed for row in passage_rows(article.rows, article.vectors, searched=searched)]
        with self._writing():
            if self._file is not None:
                self._file.append(tenant, filed)
            self._insert(self._names.passages, rows)
            self._insert(self._names.articles, [article_row(tenant, article.document) for article in filed])
            present = self.latest_versions(tenant)
            replaced = [article.document.id for article in filed if article.document.id in present]
            for article in filed:
                document = article.document
                self._heads[tenant, document.id] = LatestVersion(document.rev, document.digest, document.source)
            self._drop_old(tenant, replaced)

    @_reaching
    def remove(self, tenant: str, documents: Sequence[str]) -> None:
        """Mark the articles as gone, then remove their passages."""
        present = self.latest_versions(tenant)
        known = {document: present[document] for document in documents if document in present}
        if not known:
            return
        with self._writing():
            stones = [tombstone(tenant, document, head.rev + 1) for document, head in known.items()]
            self._insert(self._names.articles, stones)
            for document, head in known.items():
                self._heads[tenant, document] = replace(head, rev=head.rev + 1, is_removed=True)
            self._drop_old(tenant, list(known))

    @_reaching
    def flush(self) -> None:
        """Flush: unflushed rows are slow to read."""
        self._milvus.flush(self._names.articles)
        self._milvus.flush(self._names.passages)
        if self._file is not None:
            self._file.trim(len(self._present()))

    @_reaching
    def replace_vectors(self, holdings: PassageSet) -> None:
        """Fill a new collection and swap the alias; the old one serves until then."""
        names = new_names(self.tag, time.time_ns(), self._names.generation)
        self._milvus.make(names.passages, passage_fields(self._dimensions, searched=self.is_native))
        self._fill(names, holdings)
        self._put_in_force(names)

    @_reaching
    def replace(self, stock: StoreDump) -> None:
        """Fill new collections of articles and passages and swap the alias; the old ones serve until then."""
        at_ns = time.time_ns()
        names = new_names(self.tag, at_ns, new_generation(at_ns))
        self._milvus.make(names.articles, article_fields())
        self._milvus.make(names.passages, passage_fields(self._dimensions, searched=self.is_native))
        self._insert(names.articles, [version_row(version) for version in stock.versions])
        self._milvus.flush(names.articles)
        self._milvus.load(names.articles)
        self._fill(names, PassageSet(stock.rows, stock.vectors))
        self._put_in_force(names)
        self._heads = self._read_heads()

    # -- reading ---

    @_reaching
    def get(self, tenant: str, document: str, rev: int = 0) -> tuple[Document, bool] | None:
        """Read by key."""
        head = self._heads.get((tenant, document))
        wanted = rev or (head.rev if head is not None else 0)
        found = self._milvus.get(self._names.articles, article_key(tenant, document, wanted)) if wanted else None
        if found is None or found["is_removed"]:
            return None
        return read_document(found), head is not None and head.rev == wanted

    @_reaching
    def refresh(self) -> None:
        """Where others write as well: what is known since the opening may have changed."""
        names = self._milvus.in_force()
        if names is not None and names != self._names:
            self._milvus.load(names.articles)
            self._milvus.load(names.passages)
            self._take(names)
        self._heads = self._read_heads()

    @_reaching
    def holdings(self) -> PassageSet:
        """Read every passage of the latest versions; vectors only where they are of this process' embedder."""
        holdings = self._holdings()
        return PassageSet(holdings.rows, None) if self.needs_vectors else holdings

    @_reaching
    def stock(self) -> StoreDump:
        """Read everything, in the vectors of whatever embedder it has."""
        articles = ["tenant", "document", "title", "text", "topics", "scope", "rev", "updated", "source", "is_removed"]
        versions = [read_version(row) for row in self._milvus.every(self._names.articles, articles)]
        holdings = self._holdings()
        return StoreDump(versions, holdings.rows, holdings.vectors, self._names.tag)

    def _holdings(self) -> PassageSet:
        """Read the passages of the latest versions, from the file where it has them all."""
        present = self._present()
        holdings = self._file.read(present) if self._file is not None else None
        if holdings is None:
            holdings = self._stored_holdings()
            if self._file is not None:
                self._file.replace(present, holdings)
        return holdings

    def _stored_holdings(self) -> PassageSet:
        fields = ["key", "document", "tenant", "title", "topics", "headings", "text", "scope", "rev"]
        has_vectors = self._milvus.has(self._names.passages, "vector")
        stored = self._milvus.every(self._names.passages, [*fields, "vector"] if has_vectors else fields)
        found = [row for row in stored if self._owns(row)]
        # The keys of a document's passages are in their order.
        found.sort(key=lambda row: str(row["key"]))
        vectors = np.array([row["vector"] for row in found], dtype=np.float32) if has_vectors and found else None
        return PassageSet([read_row(row) for row in found], vectors)

    @_reaching
    def native_ranks(
        self, question: SearchQuestion, *, tenant: str, topics: Sequence[str], asker: Audience, limit: int
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
        if question.vectors is not None and not self.needs_vectors:
            requests.append(
                AnnSearchRequest(
                    data=question.vectors.tolist(),
                    anns_field="vector",
                    param={"metric_type": "IP"},
                    limit=limit,
                    expr=allowed,
                )
            )
        found = self._milvus.hybrid_search(requests, RRFRanker(RANK_CONSTANT), limit, ["document", "place"])
        return [[(hit["entity"]["document"], hit["entity"]["place"]) for hit in ranked] for ranked in found]

    def close(self) -> None:
        """Close the connection, and the folder with it."""
        self._milvus.close()

    # -- collections ---

    @property
    def needs_vectors(self) -> bool:
        """The passages in force were embedded by another embedder, or by none."""
        return self._names.tag != self.tag

    def _first(self) -> Names:
        names = new_names(self.tag, time.time_ns())
        self._milvus.make(names.articles, article_fields())
        self._milvus.make(names.passages, passage_fields(self._dimensions, searched=self.is_native))
        return self._milvus.claim(names)

    def _fill(self, names: Names, holdings: PassageSet) -> None:
        for start in range(0, len(holdings.rows), _BATCH):
            part = slice(start, start + _BATCH)
            vectors = holdings.vectors[part] if holdings.vectors is not None else None
            rows = passage_rows(
                holdings.rows[part], vectors, searched=self.is_native, within=holdings.rows, start=start
            )
            self._insert(names.passages, rows)
        self._milvus.flush(names.passages)
        self._milvus.load(names.passages)

    def _put_in_force(self, names: Names) -> None:
        self._milvus.put_in_force(names)
        self._take(names)
        self._milvus.drop_others(names)

    def _insert(self, collection: str, rows: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(rows), _BATCH):
            self._milvus.insert(collection, list(rows[start : start + _BATCH]))

    def _take(self, names: Names) -> None:
        folder = self._milvus.folder
        self._names = names
        self._file = PassageFile(folder, names.passages) if folder is not None else None

    def _present(self) -> dict[Key, LatestVersion]:
        return {key: head for key, head in self._heads.items() if not head.is_removed}

    # -- what no latest version owns ---

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Remove first what a writing that did not end has left, here or in a killed process: its keys come again."""
        if not self._is_swept:
            self._drop_strays()
        self._is_swept = False
        yield
        self._is_swept = True

    def _read_heads(self) -> dict[Key, LatestVersion]:
        latest_versions: dict[Key, LatestVersion] = {}
        fields = ["tenant", "document", "rev", "digest", "source", "is_removed"]
        for row in self._milvus.every(self._names.articles, fields):
            key = (row["tenant"], row["document"])
            if key not in latest_versions or latest_versions[key].rev < row["rev"]:
                latest_versions[key] = LatestVersion(row["rev"], row["digest"], row["source"], row["is_removed"])
        return latest_versions

    def _owns(self, row: dict[str, Any]) -> bool:
        head = self._heads.get((row["tenant"], row["document"]))
        return head is not None and not head.is_removed and head.rev == row["rev"]

    def _drop_old(self, tenant: str, documents: Sequence[str]) -> None:
        for start in range(0, len(documents), _BATCH):
            names = ", ".join(f'"{document}"' for document in documents[start : start + _BATCH])
            self._drop_strays(f'tenant == "{tenant}" and document in [{names}]')

    def _drop_strays(self, *where: str) -> None:
        rows = self._milvus.every(self._names.passages, ["key", "document", "tenant", "rev"], *where)
        self._milvus.delete(self._names.passages, [row["key"] for row in rows if not self._owns(row)])
