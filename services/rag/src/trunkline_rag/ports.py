"""What the knowledge service needs from its store."""

from __future__ import annotations

from typing import Protocol

from trunkline_rag.core.articles import Document
from trunkline_rag.core.index import Row


class Store(Protocol):
    """Where articles and passages are kept. Blocking: called from threads."""

    def put(self, tenant: str, documents: list[Document]) -> int:
        """Replace these documents and return how many passages they have; durable when it returns."""
        ...

    def get(self, tenant: str, document: str) -> Document | None:
        """Read one whole article."""
        ...

    def rows(self) -> list[Row]:
        """Read all passages."""
        ...

    def digests(self, tenant: str) -> dict[str, str]:
        """Read what is stored of each document, to see what has changed."""
        ...
