"""Connection to Milvus, embedded or a server: creates, fills, reads and activates collections."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pymilvus import AnnSearchRequest, DataType, Function, FunctionType, MilvusClient, MilvusException, RRFRanker

from trunkline_rag.adapters.milvus.access import MilvusAccess
from trunkline_rag.adapters.milvus.collections import ACTIVE_ALIAS, HOME_PROPERTY, CollectionNames, parse_names
from trunkline_rag.adapters.milvus.embedded import EmbeddedMilvus

# It warns at every read that the embedded server returns no timestamp, and writes a traceback for each error that it
# raises, although the first start expects that there is no collection yet.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
# The embedded server has no transactions of metadata: grpc logs each call that it does not implement.
logging.getLogger("grpc._server").setLevel(logging.CRITICAL)

_BATCH: Final = 500
_READ_BATCH: Final = 5_000
_MAX_UNBATCHED_ROWS: Final = 200_000
"""The embedded server copies all its vectors for every batch; up to this size, rows fit into a single response."""

_TIMEOUT_S: Final = 10.0
_ALL: Final = 'key != ""'


class MilvusConnection:
    """The operations of Milvus that the store needs."""

    def __init__(self, uri: str, access: MilvusAccess = MilvusAccess()) -> None:  # noqa: B008 - immutable
        """Connect to a server, or open a folder, which only one process may have open."""
        self._lite = None if "://" in uri else EmbeddedMilvus(Path(uri).absolute() / "knowledge.db", access.socket_dir)
        self._client = (
            MilvusClient(self._lite.address)
            if self._lite is not None
            else MilvusClient(uri, token=access.token, timeout=_TIMEOUT_S, **access.tls())
        )

    @property
    def is_server(self) -> bool:
        """Other processes may be connected too."""
        return self._lite is None

    @property
    def folder(self) -> Path | None:
        """Folder of the embedded store; None for a server."""
        return self._lite.folder if self._lite is not None else None

    def close(self) -> None:
        """Close; the embedded server releases its folder only on request."""
        self._client.close()
        if self._lite is not None:
            self._lite.close()

    # -- collections ---

    def active_collections(self) -> CollectionNames | None:
        """Return the active collections, or None if there are none."""
        try:
            described = self._client.describe_alias(ACTIVE_ALIAS)
        except MilvusException:
            return None
        return parse_names(str(described["collection_name"])) if described else None

    def activate_first(self, names: CollectionNames) -> CollectionNames:
        """Activate the first collections; if another process was faster, drop these and return the active ones."""
        try:
            self._client.create_alias(names.passages, ACTIVE_ALIAS)
        except MilvusException:
            active = self.active_collections()
            if active is None:
                raise
            self._client.drop_collection(names.passages)
            return active
        return names

    def activate(self, names: CollectionNames) -> None:
        """Point the alias at these passages, which also selects their articles."""
        self._client.alter_alias(names.passages, ACTIVE_ALIAS)

    def home_of(self, collection: str) -> str:
        """Return the region that has claimed a collection, empty if none has."""
        return str(self._client.describe_collection(collection).get("properties", {}).get(HOME_PROPERTY, ""))

    def claim(self, collection: str, region: str) -> None:
        """Claim a collection for a region."""
        self._client.alter_collection_properties(collection, {HOME_PROPERTY: region})

    def create(self, collection: str, fields: dict[str, dict[str, Any]], region: str) -> None:
        """Create a collection of a region unless it exists; a field `words` gets a BM25 index for native search."""
        if self._client.has_collection(collection):
            return
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=200)
        for field, kind in fields.items():
            schema.add_field(field, **kind)
        index = self._client.prepare_index_params()
        if "words" in fields:
            schema.add_function(
                Function(
                    name="bm25",
                    input_field_names=["words"],
                    output_field_names=["terms"],
                    function_type=FunctionType.BM25,
                )
            )
            index.add_index("terms", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        if "vector" in fields:
            index.add_index("vector", index_type="FLAT", metric_type="IP")
        if "mark" in fields:
            index.add_index("mark", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        try:
            self._client.create_collection(
                collection, schema=schema, index_params=index, properties={HOME_PROPERTY: region}
            )
        except MilvusException:
            # Two processes may start on an empty server at the same time.
            if not self._client.has_collection(collection):
                raise

    def load(self, collection: str) -> None:
        """Load a collection for reading."""
        self._client.load_collection(collection)

    def flush(self, collection: str) -> None:
        """Flush written rows, which are slow to read until then."""
        self._client.flush(collection)

    def has_field(self, collection: str, name: str) -> bool:
        """Return whether the rows of a collection have this field."""
        return any(field["name"] == name for field in self._client.describe_collection(collection)["fields"])

    def drop_others(self, names: CollectionNames) -> None:
        """Drop all collections except these: superseded ones, and leftovers of a crash before activation."""
        for collection in self._client.list_collections():
            if collection.startswith(("articles_", "passages_")) and collection not in {names.articles, names.passages}:
                self._client.drop_collection(collection)

    # -- rows ---

    def insert(self, collection: str, rows: list[dict[str, Any]]) -> None:
        """Insert rows."""
        self._client.insert(collection, rows)

    def delete(self, collection: str, keys: Sequence[str]) -> None:
        """Delete rows by primary key."""
        for start in range(0, len(keys), _BATCH):
            self._client.delete(collection, ids=list(keys[start : start + _BATCH]))

    def count(self, collection: str) -> int:
        """Return the approximate number of rows; deleted ones may still be counted."""
        return int(self._client.get_collection_stats(collection)["row_count"])

    def get(self, collection: str, key: str) -> dict[str, Any] | None:
        """Read one row by primary key."""
        found = self._client.get(collection, ids=[key])
        return found[0] if found else None

    def read_rows(self, collection: str, fields: list[str], where: str = _ALL) -> Iterator[dict[str, Any]]:
        """Read rows with strong consistency, in batches if there are many."""
        if not self.is_server and self.count(collection) <= _MAX_UNBATCHED_ROWS:
            yield from self._client.query(collection, filter=where, output_fields=fields, consistency_level="Strong")
            return
        iterator = self._client.query_iterator(
            collection, filter=where, output_fields=fields, batch_size=_READ_BATCH, consistency_level="Strong"
        )
        try:
            while batch := iterator.next():
                yield from batch
        finally:
            iterator.close()

    def hybrid_search(
        self,
        requests: list[AnnSearchRequest],
        ranker: RRFRanker,
        limit: int,
        fields: list[str],
    ) -> list[list[dict[str, Any]]]:
        """Search the active passages."""
        found: list[list[dict[str, Any]]] = self._client.hybrid_search(
            ACTIVE_ALIAS, reqs=requests, ranker=ranker, limit=limit, output_fields=fields
        )
        return found
