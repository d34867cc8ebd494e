"""The store on Milvus: embedded Milvus Lite in a folder, or a server by its address."""

from __future__ import annotations

from trunkline_rag.adapters.milvus.client import StoreInUseError
from trunkline_rag.adapters.milvus.store import MilvusStore

__all__ = ["MilvusStore", "StoreInUseError"]
