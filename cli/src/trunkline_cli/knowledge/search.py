"""`trunkline kb search`: the passages that agents would find."""

from __future__ import annotations

import msgspec

from trunkline_cli.client import post
from trunkline_cli.settings import ClientSettings


class Hit(msgspec.Struct):
    """A passage that matches the query."""

    document: str
    title: str
    text: str
    score: float


class Hits(msgspec.Struct):
    """The result of a search, best passage first."""

    hits: list[Hit]


def search_articles(settings: ClientSettings, query: str, limit: int) -> Hits:
    """Search the knowledge base for up to `limit` passages."""
    return post(settings, "/v1/ops/knowledge/search", {"query": query, "limit": limit}, Hits)
