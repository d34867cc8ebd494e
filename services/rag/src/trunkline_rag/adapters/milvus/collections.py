"""The collections as Milvus needs them described: their fields and their names.

`articles` holds every version of every article, `passages_<embedder>_<time>` the passages made for one embedder.
"""

from __future__ import annotations

from typing import Any, Final

from pymilvus import DataType

_LONGEST_TEXT: Final = 65_535


def article_fields() -> dict[str, dict[str, Any]]:
    """Fields of a version of an article."""
    return {
        **_common_fields(),
        "updated": _varchar(100),
        "digest": _varchar(64),
        "source": _varchar(400),
        "is_removed": {"datatype": DataType.BOOL},
        # Milvus wants a vector in every collection.
        "mark": {"datatype": DataType.SPARSE_FLOAT_VECTOR},
    }


def passage_fields(dimensions: int) -> dict[str, dict[str, Any]]:
    """Fields of a passage; a vector where there are dimensions."""
    fields = {
        **_common_fields(),
        "headings": _varchar(_LONGEST_TEXT),
        "place": {"datatype": DataType.INT64},
        "is_internal": {"datatype": DataType.BOOL},
        "region": _varchar(64),
        "language": _varchar(64),
        "valid_from": _varchar(10),
        "valid_until": _varchar(10),
        "words": {
            **_varchar(_LONGEST_TEXT),
            "enable_analyzer": True,
            # The terms are stemmed and free of stop words already: only their borders are left to find.
            "analyzer_params": {"tokenizer": "standard"},
        },
        "terms": {"datatype": DataType.SPARSE_FLOAT_VECTOR},
    }
    if dimensions:
        fields["vector"] = {"datatype": DataType.FLOAT_VECTOR, "dim": dimensions}
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
