"""The passages of all latest article versions, and the staged articles that change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trunkline_rag.core.articles import Document
from trunkline_rag.core.passage_row import PassageRow
from trunkline_rag.core.question import Vectors
from trunkline_rag.core.versions import ArticleKey


@dataclass(frozen=True, slots=True)
class StagedArticle:
    """An article to be stored: its passages, and one vector per passage if there is an embedder."""

    document: Document
    rows: list[PassageRow]
    vectors: Vectors | None


@dataclass(frozen=True, slots=True)
class PassageSet:
    """Passages in the order of the store's keys; `vectors` has one row per passage, or None without this embedder."""

    rows: list[PassageRow]
    vectors: Vectors | None

    def with_changes(self, articles: Mapping[ArticleKey, StagedArticle | None]) -> PassageSet:
        """Return the set after these articles were stored or, if None, removed; the order of keys is kept."""
        kept = [number for number, row in enumerate(self.rows) if (row.tenant, row.document) not in articles]
        stored = [article for article in articles.values() if article is not None and article.rows]
        rows = [*(self.rows[number] for number in kept), *(row for article in stored for row in article.rows)]
        order = sorted(range(len(rows)), key=lambda number: f"{rows[number].tenant}/{rows[number].document}/")
        parts = [article.vectors for article in stored]
        if kept:
            parts.insert(0, self.vectors[kept] if self.vectors is not None else None)
        vectors = [part for part in parts if part is not None]
        has_all = bool(parts) and len(vectors) == len(parts)
        return PassageSet([rows[number] for number in order], np.concatenate(vectors)[order] if has_all else None)
