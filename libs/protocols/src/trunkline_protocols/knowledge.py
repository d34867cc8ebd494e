"""Messages of the knowledge service (request and reply)."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.turn import Record, Wire


class SearchKnowledge(Wire, frozen=True, kw_only=True, tag="knowledge.search"):
    """Query: passages for a question, best first."""

    query: str
    tenant: str
    topics: list[str] = []
    """An article with one of these topics may be used; empty: any."""
    limit: int = 5


class Passage(Record, frozen=True, kw_only=True):
    """A piece of an article; `text` is verbatim. `score` grows with relevance and compares only within one reply."""

    document: str
    title: str
    text: str
    score: float


class PassagesFound(Wire, frozen=True, kw_only=True, tag="knowledge.passages"):
    """Reply to `SearchKnowledge`."""

    passages: list[Passage]
    took_ms: float


class GetArticle(Wire, frozen=True, kw_only=True, tag="knowledge.get"):
    """Query: one whole article."""

    document: str
    tenant: str


class Article(Wire, frozen=True, kw_only=True, tag="knowledge.article"):
    """A knowledge article; `text` is Markdown, and every quote of it is verbatim in it."""

    document: str
    title: str
    text: str
    topics: list[str] = []
    updated: str = ""


class ImportArticles(Wire, frozen=True, kw_only=True, tag="knowledge.import"):
    """Order: take these files in. A document of the same id is replaced."""

    tenant: str
    files: list[ArticleFile]


class ArticleFile(Record, frozen=True, kw_only=True):
    """A file as it was read: `name` ends in .md, .html or .jsonl."""

    name: str
    content: str


class ImportProblem(Record, frozen=True, kw_only=True):
    """Why a file, or a line of it, was not taken."""

    name: str
    reason: str


class ArticlesImported(Wire, frozen=True, kw_only=True, tag="knowledge.imported"):
    """Reply to `ImportArticles`: what was stored, and what was not and why."""

    documents: int
    passages: int
    problems: list[ImportProblem] = []


class Refused(Wire, frozen=True, kw_only=True, tag="refused"):
    """Reply to any request that cannot be answered; `retryable` says whether asking again makes sense."""

    code: str
    message: str
    retryable: bool


KnowledgeRequest: TypeAlias = SearchKnowledge | GetArticle | ImportArticles
KnowledgeReply: TypeAlias = PassagesFound | Article | ArticlesImported | Refused
