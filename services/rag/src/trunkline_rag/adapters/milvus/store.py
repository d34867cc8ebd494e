"""The store on Milvus, embedded or a server: the source of truth of articles and passages.

There are two collections: one holds every version of every article, one the passages of the latest versions, with
vectors of one embedder. An alias names the passages, and their name determines the collection of articles, so both are
activated by one change. The row of an article commits its version: passages are written before it, and orphans, which
belong to no latest version, are deleted before the next write. So a crash in between neither loses nor duplicates any.

A server searches natively, by hybrid search. Milvus Lite scans every row at every search: there the index of the
process answers over the same rows, and fields that only native search needs are not stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from itertools import chain
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import numpy as np
from pymilvus import AnnSearchRequest, MilvusException, RRFRanker
from trunkline_protocols.rules.residency import may_cross

from trunkline_rag.adapters.milvus.access import MilvusAccess
from trunkline_rag.adapters.milvus.client import MilvusConnection
from trunkline_rag.adapters.milvus.collections import (
    CollectionNames,
    article_fields,
    embedder_tag,
    new_generation,
    new_names,
    passage_fields,
)
from trunkline_rag.adapters.milvus.passage_file import PassageFile
from trunkline_rag.adapters.milvus.rows import (
    article_key,
    article_row,
    audience_filter,
    passage_rows,
    read_document,
    read_passage,
    read_version,
    tombstone_row,
    version_row,
)
from trunkline_rag.core.articles import Document
from trunkline_rag.core.backups import StoreDump
from trunkline_rag.core.index import RANK_CONSTANT
from trunkline_rag.core.passage_set import PassageSet, StagedArticle
from trunkline_rag.core.question import SearchQuestion
from trunkline_rag.core.scope import SearchAudience
from trunkline_rag.core.versions import ArticleKey, LatestVersion
from trunkline_rag.ports import StoreElsewhereError, StoreUnavailableError

_TERMS_ONLY: Final = "lexical"
_BATCH: Final = 500

P = ParamSpec("P")
R = TypeVar("R")


def _translating_errors(call: Callable[Concatenate[MilvusStore, P], R]) -> Callable[Concatenate[MilvusStore, P], R]:
    """Convert errors of the client to `StoreUnavailableError`."""

    @wraps(call)
    def wrapper(store: MilvusStore, /, *arguments: P.args, **options: P.kwargs) -> R:
        try:
            return call(store, *arguments, **options)
        except (MilvusException, OSError, ValueError) as error:
            raise StoreUnavailableError(f"Milvus: {error}") from error

    return wrapper


class MilvusStore:
    """Implements all roles of the store. Row keys consist of tenant, document, version and position."""

    def __init__(
        self,
        uri: str,
        *,
        embedder: str = _TERMS_ONLY,
        dimensions: int = 0,
        native_search: bool | None = None,
        access: MilvusAccess = MilvusAccess(),  # noqa: B008 - immutable
        region: str = "local",
        on_foreign: Callable[[str, str], None] = lambda home, collection: None,  # noqa: ARG005
    ) -> None:
        """Open the store of a region for one embedder and create missing collections.

        Raises `StoreElsewhereError` for the store of another region, after a call of `on_foreign` with that region and
        the collection; collections of an earlier version belong to the first region that opens them. `native_search` is
        for tests; by default, servers search natively and the embedded store does not.
        """
        self._region = region
        self._on_foreign = on_foreign
        self._foreign_home = ""
        """Region that had claimed the collections when they were read last; empty if it was this one."""
        self._milvus = MilvusConnection(uri, access)
        self.has_native_search = native_search if native_search is not None else self._milvus.is_server
        self.embedder_tag = embedder_tag(embedder, dimensions)
        self._dimensions = dimensions
        try:
            self._use_collections(self._milvus.active_collections() or self._create_first())
        except StoreElsewhereError:
            self._milvus.close()
            raise
        self._has_no_orphans = False
        """The last write has completed, and all orphans are deleted."""
        self._milvus.load(self._names.articles)
        self._milvus.load(self._names.passages)
        self._latest = self._read_latest()

    # -- ArticleStore ---

    def latest_versions(self, tenant: str) -> dict[str, LatestVersion]:
        """Return the versions known since the store was opened or refreshed."""
        return {document: latest for (owner, document), latest in self._current().items() if owner == tenant}

    def next_rev(self, tenant: str, document: str) -> int:
        """Count on after a removal: no number is used twice."""
        latest = self._latest.get((tenant, document))
        return latest.rev + 1 if latest is not None else 1

    @_translating_errors
    def get(self, tenant: str, document: str, rev: int = 0) -> tuple[Document, bool] | None:
        """Read by key."""
        latest = self._latest.get((tenant, document))
        wanted = rev or (latest.rev if latest is not None else 0)
        found = self._milvus.get(self._names.articles, article_key(tenant, document, wanted)) if wanted else None
        if found is None or found["is_removed"]:
            return None
        return read_document(found), latest is not None and latest.rev == wanted

    @_translating_errors
    def put(self, tenant: str, articles: Sequence[StagedArticle]) -> None:
        """Write the new passages, then the articles, which commits them, then delete the old passages."""
        self._refuse_foreign()
        if self.needs_vectors:
            articles = [_without_vectors(article) for article in articles]
        native = self._milvus.has_field(self._names.passages, "words")
        rows = [
            row for article in articles for row in passage_rows(article.rows, article.vectors, native_search=native)
        ]
        if not self._milvus.has_field(self._names.passages, "sentences"):
            for row in rows:
                del row["sentences"]
        with self._without_orphans():
            if self._file is not None:
                self._file.append(tenant, articles)
            self._insert(self._names.passages, rows)
            self._insert(self._names.articles, [article_row(tenant, article.document) for article in articles])
            current = self.latest_versions(tenant)
            replaced = [article.document.id for article in articles if article.document.id in current]
            for article in articles:
                document = article.document
                self._latest[tenant, document.id] = LatestVersion(document.rev, document.digest, document.source)
            self._delete_superseded(tenant, replaced)

    @_translating_errors
    def remove(self, tenant: str, documents: Sequence[str]) -> None:
        """Write tombstones, then delete the passages."""
        self._refuse_foreign()
        current = self.latest_versions(tenant)
        known = {document: current[document] for document in documents if document in current}
        if not known:
            return
        with self._without_orphans():
            tombstones = [tombstone_row(tenant, document, latest.rev + 1) for document, latest in known.items()]
            self._insert(self._names.articles, tombstones)
            for document, latest in known.items():
                self._latest[tenant, document] = replace(latest, rev=latest.rev + 1, is_removed=True)
            self._delete_superseded(tenant, list(known))

    # -- PassageSource ---

    @_translating_errors
    def refresh(self) -> None:
        """Switch to the active collections and read the latest versions."""
        names = self._milvus.active_collections() or self._names
        if names == self._names:
            self._require_home(names)
        else:
            self._use_collections(names)
            self._milvus.load(names.articles)
            self._milvus.load(names.passages)
        self._latest = self._read_latest()

    @_translating_errors
    def read_passages(self) -> PassageSet:
        """Read the passages; vectors of another embedder are left out."""
        passages = self._read_passages()
        return PassageSet(passages.rows, None) if self.needs_vectors else passages

    @_translating_errors
    def flush(self) -> None:
        """Flush both collections, and trim the file."""
        self._milvus.flush(self._names.articles)
        self._milvus.flush(self._names.passages)
        if self._file is not None:
            self._file.trim(len(self._current()))

    def _read_passages(self) -> PassageSet:
        """Read from the file if it is complete, else from Milvus."""
        current = self._current()
        passages = self._file.read(current) if self._file is not None else None
        if passages is None:
            passages = self._read_stored_passages()
            if self._file is not None:
                self._file.replace(current, passages)
        return passages

    def _read_stored_passages(self) -> PassageSet:
        fields = ["key", "document", "tenant", "title", "topics", "headings", "text", "scope", "rev"]
        has_vectors = self._milvus.has_field(self._names.passages, "vector")
        optional = [name for name in ("vector", "sentences") if self._milvus.has_field(self._names.passages, name)]
        stored = self._milvus.read_rows(self._names.passages, [*fields, *optional])
        found = [row for row in stored if self._is_latest(row)]
        # The keys of a document's passages sort by position.
        found.sort(key=lambda row: str(row["key"]))
        vectors = np.array([row["vector"] for row in found], dtype=np.float32) if has_vectors and found else None
        return PassageSet([read_passage(row) for row in found], vectors)

    # -- NativeSearch ---

    @_translating_errors
    def search(
        self, question: SearchQuestion, *, tenant: str, topics: Sequence[str], audience: SearchAudience, limit: int
    ) -> list[list[tuple[str, int]]]:
        """Search all sentences in one hybrid search of the server."""
        self._refuse_foreign()
        if not question.sentences:
            return []
        allowed = audience_filter(tenant, topics, audience)
        # A question with a vector of its own is searched as a whole: both requests have one row per question.
        terms = [list(chain(*question.terms))] if question.vector is not None else question.terms
        vectors = question.vector[np.newaxis] if question.vector is not None else question.vectors
        by_terms = AnnSearchRequest(
            data=[" ".join(found) for found in terms],
            anns_field="terms",
            param={"metric_type": "BM25"},
            limit=limit,
            expr=allowed,
        )
        requests = [by_terms]
        if vectors is not None and not self.needs_vectors:
            by_vectors = AnnSearchRequest(
                data=vectors.tolist(),
                anns_field="vector",
                param={"metric_type": "IP"},
                limit=limit,
                expr=allowed,
            )
            requests.append(by_vectors)
        found = self._milvus.hybrid_search(requests, RRFRanker(RANK_CONSTANT), limit, ["document", "place"])
        return [[(hit["entity"]["document"], hit["entity"]["place"]) for hit in ranked] for ranked in found]

    # -- CollectionStore ---

    @property
    def needs_vectors(self) -> bool:
        """The active passages have vectors of another embedder, or none."""
        return self._names.tag != self.embedder_tag

    @_translating_errors
    def dump(self) -> StoreDump:
        """Read everything, with the vectors of the embedder that made them."""
        articles = ["tenant", "document", "title", "text", "topics", "scope", "rev", "updated", "source", "is_removed"]
        versions = [read_version(row) for row in self._milvus.read_rows(self._names.articles, articles)]
        passages = self._read_passages()
        return StoreDump(versions, passages.rows, passages.vectors, self._names.tag)

    @_translating_errors
    def replace(self, dump: StoreDump) -> None:
        """Fill new collections of articles and passages and move the alias; the old ones serve until then."""
        at_ns = time.time_ns()
        names = new_names(self.embedder_tag, at_ns, new_generation(at_ns))
        self._create(names)
        self._insert(names.articles, [version_row(version) for version in dump.versions])
        self._milvus.flush(names.articles)
        self._milvus.load(names.articles)
        self._fill_passages(names, PassageSet(dump.rows, dump.vectors))
        self._activate(names)
        self._latest = self._read_latest()

    @_translating_errors
    def replace_vectors(self, passages: PassageSet) -> None:
        """Fill a new collection of passages and move the alias; the old one serves until then."""
        names = new_names(self.embedder_tag, time.time_ns(), self._names.generation)
        self._create(names)
        self._fill_passages(names, passages)
        self._activate(names)

    def close(self) -> None:
        """Close the connection and, if embedded, release the folder."""
        self._milvus.close()

    def _create_first(self) -> CollectionNames:
        names = new_names(self.embedder_tag, time.time_ns())
        self._create(names)
        return self._milvus.activate_first(names)

    def _create(self, names: CollectionNames) -> None:
        self._milvus.create(names.articles, article_fields(), self._region)
        self._milvus.create(
            names.passages, passage_fields(self._dimensions, native_search=self.has_native_search), self._region
        )

    def _fill_passages(self, names: CollectionNames, passages: PassageSet) -> None:
        for start in range(0, len(passages.rows), _BATCH):
            part = slice(start, start + _BATCH)
            vectors = passages.vectors[part] if passages.vectors is not None else None
            rows = passage_rows(
                passages.rows[part],
                vectors,
                native_search=self.has_native_search,
                within=passages.rows,
                start=start,
            )
            self._insert(names.passages, rows)
        self._milvus.flush(names.passages)
        self._milvus.load(names.passages)

    def _activate(self, names: CollectionNames) -> None:
        self._milvus.activate(names)
        self._use_collections(names)
        self._milvus.drop_others(names)

    def _use_collections(self, names: CollectionNames) -> None:
        self._require_home(names)
        folder = self._milvus.folder
        self._names = names
        self._file = PassageFile(folder, names.passages) if folder is not None else None

    def _require_home(self, names: CollectionNames) -> None:
        """Raise `StoreElsewhereError` if another region has claimed the passages; claim those of an earlier version."""
        home = self._milvus.home_of(names.passages)
        if not home:
            self._milvus.claim(names.passages, self._region)
            home = self._milvus.home_of(names.passages)
        self._foreign_home = "" if may_cross("collections", data=self._region, place=home) else home
        if self._foreign_home:
            self._on_foreign(home, names.passages)
        self._refuse_foreign()

    def _refuse_foreign(self) -> None:
        if self._foreign_home:
            raise StoreElsewhereError(self._foreign_home, self._region)

    # -- rows ---

    def _insert(self, collection: str, rows: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(rows), _BATCH):
            self._milvus.insert(collection, list(rows[start : start + _BATCH]))

    def _read_latest(self) -> dict[ArticleKey, LatestVersion]:
        latest: dict[ArticleKey, LatestVersion] = {}
        fields = ["tenant", "document", "rev", "digest", "source", "is_removed"]
        for row in self._milvus.read_rows(self._names.articles, fields):
            key = (row["tenant"], row["document"])
            if key not in latest or latest[key].rev < row["rev"]:
                latest[key] = LatestVersion(row["rev"], row["digest"], row["source"], row["is_removed"])
        return latest

    def _current(self) -> dict[ArticleKey, LatestVersion]:
        return {key: latest for key, latest in self._latest.items() if not latest.is_removed}

    def _is_latest(self, row: dict[str, Any]) -> bool:
        latest = self._latest.get((row["tenant"], row["document"]))
        return latest is not None and not latest.is_removed and latest.rev == row["rev"]

    # -- orphans: passages that belong to no latest version ---

    @contextmanager
    def _without_orphans(self) -> Iterator[None]:
        """Delete the orphans of an interrupted write, of this or a killed process, first: their keys are reused."""
        if not self._has_no_orphans:
            self._delete_orphans()
        self._has_no_orphans = False
        yield
        self._has_no_orphans = True

    def _delete_superseded(self, tenant: str, documents: Sequence[str]) -> None:
        for start in range(0, len(documents), _BATCH):
            names = ", ".join(f'"{document}"' for document in documents[start : start + _BATCH])
            self._delete_orphans(f'tenant == "{tenant}" and document in [{names}]')

    def _delete_orphans(self, *where: str) -> None:
        rows = self._milvus.read_rows(self._names.passages, ["key", "document", "tenant", "rev"], *where)
        self._milvus.delete(self._names.passages, [row["key"] for row in rows if not self._is_latest(row)])


def _without_vectors(article: StagedArticle) -> StagedArticle:
    """Return an article for passages of another embedder."""
    return replace(article, vectors=None, rows=[replace(row, sentences=b"") for row in article.rows])
