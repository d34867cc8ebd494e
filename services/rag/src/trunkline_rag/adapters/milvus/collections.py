"""The collections as Milvus needs them described: their names and their fields.

articles_<generation>                             every version of every article
passages_<embedder>_<generation>_<time>           the passages in force, made for one embedder, of those articles

A restore makes a new generation of both; another embedder makes new passages of the same articles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pymilvus import DataType

IN_FORCE: Final = "passages"
"""The alias that names the passages in force, and with them their articles."""

_LONGEST_TEXT: Final = 65_535
_SPARSE: Final = {"datatype": DataType.SPARSE_FLOAT_VECTOR}
"""Milvus wants a vector in every collection: `mark` is one that says nothing."""

_FIRST: Final = "g0"
_BEFORE_GENERATIONS: Final = "v2"
_NAME: Final = re.compile(r"passages_(?P<tag>\w+?)(?:_(?P<generation>g[0-9a-f]+|v2))?_[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Names:
    """A collection of articles and one of their passages."""

    tag: str
    generation: str
    passages: str

    @property
    def articles(self) -> str:
        """The collection of the versions."""
        return f"articles_{self.generation}"


def tag_of(embedder: str) -> str:
    """Write an embedder's name as a collection's name may hold it."""
    return re.sub(r"[^A-Za-z0-9]+", "_", embedder)


def new_names(tag: str, at_ns: int, generation: str = _FIRST) -> Names:
    """Name new collections; the time makes them new."""
    return Names(tag, generation, f"passages_{tag}_{generation}_{at_ns:x}")


def new_generation(at_ns: int) -> str:
    """Name a new generation."""
    return f"g{at_ns:x}"


def read_names(passages: str) -> Names | None:
    """Read the name of a collection of passages; None when it is none of ours."""
    found = _NAME.fullmatch(passages)
    return Names(found["tag"], found["generation"] or _BEFORE_GENERATIONS, passages) if found is not None else None


def article_fields() -> dict[str, dict[str, Any]]:
    """Fields of a version of an article."""
    return {
        **_common_fields(),
        "updated": _varchar(100),
        "digest": _varchar(64),
        "source": _varchar(400),
        "is_removed": {"datatype": DataType.BOOL},
        "mark": _SPARSE,
    }


def passage_fields(dimensions: int, *, searched: bool) -> dict[str, dict[str, Any]]:
    """Fields of a passage: a vector where there are dimensions, its words where the store itself shall search them."""
    fields = {
        **_common_fields(),
        "headings": _varchar(_LONGEST_TEXT),
        "place": {"datatype": DataType.INT64},
        "is_internal": {"datatype": DataType.BOOL},
        "region": _varchar(64),
        "language": _varchar(64),
        "valid_from": _varchar(10),
        "valid_until": _varchar(10),
    }
    if searched:
        fields["words"] = {
            **_varchar(_LONGEST_TEXT),
            "enable_analyzer": True,
            # The terms are stemmed and free of stop words already: only their borders are left to find.
            "analyzer_params": {"tokenizer": "standard"},
        }
        fields["terms"] = _SPARSE
    if dimensions:
        fields["vector"] = {"datatype": DataType.FLOAT_VECTOR, "dim": dimensions}
    if not searched and not dimensions:
        fields["mark"] = _SPARSE
    return fields


def _common_fields() -> dict[str, dict[str, Any]]:
    return {
        "document": _varchar(64),
        "tenant": _varchar(64),
        "title": _varchar(400),
        "text": _varchar(_LONGEST_TEXT),
        "topics": {"datatype": DataType.JSON},
        "scope": {"datatype": DataType.JSON},
        "rev": {"datatype": DataType.INT64},
    }


def _varchar(length: int) -> dict[str, Any]:
    return {"datatype": DataType.VARCHAR, "max_length": length}
