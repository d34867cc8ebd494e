"""Texts as vectors, behind one port: `lexical`, `minilm`, `remote`."""

from __future__ import annotations

from trunkline_embedding.choice import LEXICAL, EmbedderChoice, open_embedder
from trunkline_embedding.port import Embedder, EmbeddingError, Vectors

__all__ = ["LEXICAL", "Embedder", "EmbedderChoice", "EmbeddingError", "Vectors", "open_embedder"]
