"""A passage as it is stored and indexed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline_language.terms import terms

from trunkline_rag.core.scope import UNRESTRICTED, Scope

_TITLE_WEIGHT: Final = 2


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A passage as it is stored."""

    document: str
    tenant: str
    title: str
    topics: tuple[str, ...]
    headings: str
    text: str
    scope: Scope = UNRESTRICTED
    rev: int = 0
    sentences: bytes = b""
    """Packed vectors of the sentences, one after another; empty without an embedder."""

    def is_same_document(self, other: PassageRow) -> bool:
        """Return whether both are passages of one article."""
        return (self.tenant, self.document) == (other.tenant, other.document)

    @property
    def embedding_text(self) -> str:
        """Text that is embedded for the passage: title, headings and its own text."""
        return "\n".join(part for part in (self.title, self.headings, self.text) if part)


def row_terms(row: PassageRow) -> list[str]:
    """Return the terms of a passage; those of its title count twice."""
    return terms(row.text) + terms(row.headings) + terms(row.title) * _TITLE_WEIGHT
