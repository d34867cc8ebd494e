"""Versions of articles: every change makes a new one, and old ones stay readable for citations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from trunkline_rag.core.articles import Document

ArticleKey: TypeAlias = tuple[str, str]
"""Tenant and document id."""


@dataclass(frozen=True, slots=True)
class ArticleVersion:
    """One version of an article with its text; `is_removed` marks a tombstone."""

    tenant: str
    document: Document
    is_removed: bool = False

    @property
    def key(self) -> ArticleKey:
        """Key of the article."""
        return (self.tenant, self.document.id)


@dataclass(frozen=True, slots=True)
class LatestVersion:
    """The latest version of an article, without its text."""

    rev: int
    digest: str
    source: str
    is_removed: bool = False


def latest_by_key(versions: Iterable[ArticleVersion]) -> dict[ArticleKey, ArticleVersion]:
    """Return the latest version of every article, tombstones included."""
    latest: dict[ArticleKey, ArticleVersion] = {}
    for version in versions:
        if version.key not in latest or latest[version.key].document.rev < version.document.rev:
            latest[version.key] = version
    return latest
