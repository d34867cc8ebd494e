"""Embedders behind one port: `minilm` in this process, `remote` as a service; `lexical` needs none."""

from __future__ import annotations

from trunkline_embedding.cache import CachedEmbedder
from trunkline_embedding.choice import LEXICAL, EmbedderChoice, open_embedder
from trunkline_embedding.packing import pack, pack_vector, unpack, unpack_vector
from trunkline_embedding.port import Embedder, EmbeddingError, Vectors, message_embedder

__all__ = [
    "LEXICAL",
    "CachedEmbedder",
    "Embedder",
    "EmbedderChoice",
    "EmbeddingError",
    "Vectors",
    "message_embedder",
    "open_embedder",
    "pack",
    "pack_vector",
    "unpack",
    "unpack_vector",
]
