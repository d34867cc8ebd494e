"""Vectors of passages and of their sentences, made at an import and kept with the passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from trunkline_embedding import Embedder, Vectors, pack
from trunkline_language.sentences import sentences

from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.sentence_index import MAX_SENTENCES


def embed_passages(rows: Sequence[PassageRow], embedder: Embedder | None) -> tuple[list[PassageRow], Vectors | None]:
    """Return the rows with the vectors of their sentences, and one vector per row; blocks while it embeds.

    Without an embedder the rows have no vectors.
    """
    if embedder is None:
        return [replace(row, sentences=b"") for row in rows], None
    quoted = [[sentence.text for sentence in sentences(row.text)[:MAX_SENTENCES]] for row in rows]
    texts = [row.embedding_text for row in rows]
    vectors = embedder.embed([*texts, *(text for found in quoted for text in found)])
    ends = np.cumsum([len(rows), *map(len, quoted)]).tolist()
    packed = [
        replace(row, sentences=b"".join(pack(vectors[ends[number] : ends[number + 1]])))
        for number, row in enumerate(rows)
    ]
    return packed, vectors[: len(rows)]
