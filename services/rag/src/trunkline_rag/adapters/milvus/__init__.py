"""The store on Milvus: embedded Milvus Lite in a folder, or a server by its address."""

from __future__ import annotations

from trunkline_rag.adapters.milvus.access import MilvusAccess
from trunkline_rag.adapters.milvus.embedded import StoreInUseError
from trunkline_rag.adapters.milvus.store import MilvusStore

__all__ = ["MilvusAccess", "MilvusStore", "StoreInUseError"]
