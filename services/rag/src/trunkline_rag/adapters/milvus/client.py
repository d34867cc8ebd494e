"""The connection to Milvus: collections made, filled, read and put in force, whether embedded or a server."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from milvus_lite.server_manager import server_manager_instance
from pymilvus import AnnSearchRequest, DataType, Function, FunctionType, MilvusClient, MilvusException, RRFRanker

from trunkline_rag.adapters.milvus.collections import IN_FORCE, Names, read_names

# It warns at every read that the embedded server tells no timestamp.
logging.getLogger("pymilvus").setLevel(logging.ERROR)

_BATCH: Final = 500
_READ_BATCH: Final = 5_000
_AT_ONCE: Final = 200_000
"""The embedded server copies all its vectors for every batch; so many rows still fit into one answer."""


_TIMEOUT_S: Final = 10.0
_ALL: Final = 'key != ""'


class StoreInUseError(RuntimeError):
    """Another process has the folder open."""

    def __init__(self, folder: Path) -> None:
        """Say what to do."""
        super().__init__(f"{folder} is open in another process: Milvus Lite serves one; stop that one first")


class Connection:
    """What the store needs of Milvus."""

    def __init__(self, uri: str) -> None:
        """Connect to a server, or open a folder: one process may."""
        self._lite = None if "://" in uri else Path(uri).absolute() / "knowledge.db"
        self._client = _open_lite(self._lite) if self._lite is not None else MilvusClient(uri, timeout=_TIMEOUT_S)

    @property
    def is_server(self) -> bool:
        """Others may be connected as well."""
        return self._lite is None

    @property
    def folder(self) -> Path | None:
        """Where the embedded store is; None of a server."""
        return self._lite.parent if self._lite is not None else None

    def close(self) -> None:
        """Close; the embedded server gives its folder free only when told."""
        self._client.close()
        if self._lite is not None:
            server_manager_instance.release_server(str(self._lite))

    # -- collections ---

    def in_force(self) -> Names | None:
        """Name what is in force; None where nothing is."""
        try:
            described = self._client.describe_alias(IN_FORCE)
        except MilvusException:
            return None
        return read_names(str(described["collection_name"])) if described else None

    def claim(self, names: Names) -> Names:
        """Put the first collections in force; another process may be faster, then its are."""
        try:
            self._client.create_alias(names.passages, IN_FORCE)
        except MilvusException:
            others = self.in_force()
            if others is None:
                raise
            self._client.drop_collection(names.passages)
            return others
        return names

    def put_in_force(self, names: Names) -> None:
        """Point the alias at these passages, and with them at their articles."""
        self._client.alter_alias(names.passages, IN_FORCE)

    def make(self, collection: str, fields: dict[str, dict[str, Any]]) -> None:
        """Make a collection, unless it is there; where it has words, they are weighed for the native search."""
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
            self._client.create_collection(collection, schema=schema, index_params=index)
        except MilvusException:
            # Two processes may begin on an empty server at once.
            if not self._client.has_collection(collection):
                raise

    def load(self, collection: str) -> None:
        """Make it readable."""
        self._client.load_collection(collection)

    def flush(self, collection: str) -> None:
        """Make what was written quick to read."""
        self._client.flush(collection)

    def has(self, collection: str, name: str) -> bool:
        """Tell whether its rows have such a field."""
        return any(field["name"] == name for field in self._client.describe_collection(collection)["fields"])

    def drop_others(self, names: Names) -> None:
        """Drop what is not in force any more, and what a crash has left before it was."""
        for collection in self._client.list_collections():
            if collection.startswith(("articles_", "passages_")) and collection not in {names.articles, names.passages}:
                self._client.drop_collection(collection)

    # -- rows ---

    def insert(self, collection: str, rows: list[dict[str, Any]]) -> None:
        """Add rows."""
        self._client.insert(collection, rows)

    def delete(self, collection: str, keys: Sequence[str]) -> None:
        """Remove rows by their keys."""
        for start in range(0, len(keys), _BATCH):
            self._client.delete(collection, ids=list(keys[start : start + _BATCH]))

    def count(self, collection: str) -> int:
        """How many rows it has, about: what was removed may still be counted."""
        return int(self._client.get_collection_stats(collection)["row_count"])

    def get(self, collection: str, key: str) -> dict[str, Any] | None:
        """Read one row by its key."""
        found = self._client.get(collection, ids=[key])
        return found[0] if found else None

    def every(self, collection: str, fields: list[str], where: str = _ALL) -> Iterator[dict[str, Any]]:
        """Read rows, batch by batch where they are many, also those that another process has written just now."""
        if not self.is_server and self.count(collection) <= _AT_ONCE:
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
        """Search the passages in force."""
        found: list[list[dict[str, Any]]] = self._client.hybrid_search(
            IN_FORCE, reqs=requests, ranker=ranker, limit=limit, output_fields=fields
        )
        return found


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
