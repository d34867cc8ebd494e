"""Names and schemas of the Milvus collections.

articles_<generation>                             every version of every article
passages_<embedder>_<generation>_<time>           the passages of the latest versions, with vectors of one embedder

A restore makes a new generation of both; another embedder makes new passages of the same articles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pymilvus import DataType

ACTIVE_ALIAS: Final = "passages"
"""Alias of the active collection of passages, whose name determines the collection of articles."""

HOME_PROPERTY: Final = "trunkline.region"
"""Property of every collection: the only region that reads it and writes to it."""

_MAX_TEXT_BYTES: Final = 65_535
_SPARSE: Final = {"datatype": DataType.SPARSE_FLOAT_VECTOR}
"""Milvus requires a vector field in every collection: `mark` is a constant placeholder."""

_FIRST_GENERATION: Final = "g0"
_UNNAMED_GENERATION: Final = "v2"
"""Generation of collections from before generations were part of the name."""
_NAME: Final = re.compile(r"passages_(?P<tag>\w+?)(?:_(?P<generation>g[0-9a-f]+|v2))?_[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class CollectionNames:
    """A collection of articles and one of their passages; `tag` names the embedder."""

    tag: str
    generation: str
    passages: str

    @property
    def articles(self) -> str:
        """Name of the collection of article versions."""
        return f"articles_{self.generation}"


def embedder_tag(embedder: str, dimensions: int = 0) -> str:
    """Convert an embedder's name to characters that a collection name may contain.

    The suffix says that the passages have vectors of their sentences too.
    """
    tag = re.sub(r"[^A-Za-z0-9]+", "_", embedder)
    return f"{tag}_sentences" if dimensions else tag


def new_names(tag: str, at_ns: int, generation: str = _FIRST_GENERATION) -> CollectionNames:
    """Name new collections; the time makes the name unique."""
    return CollectionNames(tag, generation, f"passages_{tag}_{generation}_{at_ns:x}")


def new_generation(at_ns: int) -> str:
    """Name a new generation."""
    return f"g{at_ns:x}"


def parse_names(passages: str) -> CollectionNames | None:
    """Parse the name of a collection of passages; None if it has another form."""
    found = _NAME.fullmatch(passages)
    return (
        CollectionNames(found["tag"], found["generation"] or _UNNAMED_GENERATION, passages)
        if found is not None
        else None
    )


def article_fields() -> dict[str, dict[str, Any]]:
    """Return the fields of an article version."""
    return {
        **_common_fields(),
        "updated": _varchar(100),
        "digest": _varchar(64),
        "source": _varchar(400),
        "is_removed": {"datatype": DataType.BOOL},
        "mark": _SPARSE,
    }


def passage_fields(dimensions: int, *, native_search: bool) -> dict[str, dict[str, Any]]:
    """Return the fields of a passage: a vector if `dimensions` is not 0, and the terms for native search."""
    fields = {
        **_common_fields(),
        "headings": _varchar(_MAX_TEXT_BYTES),
        "sentences": _varchar(_MAX_TEXT_BYTES),
        "place": {"datatype": DataType.INT64},
        "is_internal": {"datatype": DataType.BOOL},
        "region": _varchar(64),
        "language": _varchar(64),
        "valid_from": _varchar(10),
        "valid_until": _varchar(10),
    }
    if native_search:
        fields["words"] = {
            **_varchar(_MAX_TEXT_BYTES),
            "enable_analyzer": True,
            # The terms are stemmed and without stop words already: Milvus only splits them.
            "analyzer_params": {"tokenizer": "standard"},
        }
        fields["terms"] = _SPARSE
    if dimensions:
        fields["vector"] = {"datatype": DataType.FLOAT_VECTOR, "dim": dimensions}
    if not native_search and not dimensions:
        fields["mark"] = _SPARSE
    return fields


def _common_fields() -> dict[str, dict[str, Any]]:
    return {
        "document": _varchar(64),
        "tenant": _varchar(64),
        "title": _varchar(400),
        "text": _varchar(_MAX_TEXT_BYTES),
        "topics": {"datatype": DataType.JSON},
        "scope": {"datatype": DataType.JSON},
        "rev": {"datatype": DataType.INT64},
    }


def _varchar(length: int) -> dict[str, Any]:
    return {"datatype": DataType.VARCHAR, "max_length": length}
