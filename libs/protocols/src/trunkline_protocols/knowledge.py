"""Messages of the knowledge service (request and reply)."""

from __future__ import annotations

from typing import TypeAlias

from trunkline_protocols.wire import Record, Wire


class SearchKnowledge(Wire, frozen=True, kw_only=True, tag="knowledge.search"):
    """Query: passages for a question, best first."""

    query: str
    tenant: str
    topics: list[str] = []
    """An article with one of these topics may be used; empty: any."""
    limit: int = 5
    region: str = ""
    """Of the asker, as language and specialty: what is written for others is left out. Empty: any."""
    language: str = ""
    specialty: str = ""
    internal: bool = False
    """Colleagues ask: internal articles are found as well."""


class Passage(Record, frozen=True, kw_only=True):
    """A piece of an article; `text` is verbatim. `score` grows with relevance and compares only within one reply."""

    document: str
    title: str
    text: str
    score: float
    rev: int = 0
    """Version of the article that `text` is verbatim in."""
    headings: str = ""
    """What `text` stands under in the article."""
    internal: bool = False
    """For colleagues only: never quoted to a customer."""


class PassagesFound(Wire, frozen=True, kw_only=True, tag="knowledge.passages"):
    """Reply to `SearchKnowledge`."""

    passages: list[Passage]
    took_ms: float
    stale: bool = False
    """The store cannot be reached: found in what was last known of it."""


class GetArticle(Wire, frozen=True, kw_only=True, tag="knowledge.get"):
    """Query: one whole article."""

    document: str
    tenant: str
    rev: int = 0
    """0: the latest."""


class Article(Wire, frozen=True, kw_only=True, tag="knowledge.article"):
    """A knowledge article; `text` is Markdown, and every quote of it is verbatim in it."""

    document: str
    title: str
    text: str
    topics: list[str] = []
    updated: str = ""
    rev: int = 0
    is_latest: bool = True
    internal: bool = False
    """For colleagues only: never shown to a customer."""


class ImportArticles(Wire, frozen=True, kw_only=True, tag="knowledge.import"):
    """Order: take these files in. A document of the same id is replaced; what has not changed is left as it is."""

    tenant: str
    files: list[ArticleFile]
    source: str = ""
    """Where they come from, as the one who imports names it."""
    more: bool = False
    """Another order follows at once: searches need not see this one before."""
    prune: bool = False
    """With the last order: articles of this source that `present` does not name go."""
    present: list[str] = []


class ArticleFile(Record, frozen=True, kw_only=True):
    """A file as it was read: `name` ends in .md, .html or .jsonl and `content` is its text, or in .pdf with `data`."""

    name: str
    content: str = ""
    data: bytes = b""


class ImportProblem(Record, frozen=True, kw_only=True):
    """Why a file, or a line of it, was not taken."""

    name: str
    reason: str


class ArticlesImported(Wire, frozen=True, kw_only=True, tag="knowledge.imported"):
    """Reply to `ImportArticles`: what was stored, and what was not and why."""

    documents: int
    passages: int
    problems: list[ImportProblem] = []
    unchanged: int = 0
    removed: int = 0
    ids: list[str] = []
    """All that the files hold, changed or not."""


class TakeBackup(Wire, frozen=True, kw_only=True, tag="knowledge.backup"):
    """Order: write the whole knowledge base to the object store; imports and searches go on."""

    full: bool = False
    """Write everything, also what the backup before has written."""
    keep: int = 0
    """Remove older backups until so many are left; 0: as the service is set up."""


class RestoreBackup(Wire, frozen=True, kw_only=True, tag="knowledge.restore"):
    """Order: put a backup in force; searches go on in what was there until it is."""

    backup: str = ""
    """Empty: the newest."""
    replace: bool = False
    """Also where there are articles that did not come with the fleet."""


class ListBackups(Wire, frozen=True, kw_only=True, tag="knowledge.list_backups"):
    """Query: which backups there are, and what is being done now."""


class BackupInfo(Record, frozen=True, kw_only=True):
    """A backup; `bytes` is all that it holds, uncompressed, `written` how many of its blobs were new."""

    id: str
    made_at: float
    kind: str
    """`full` or `incremental`; either is whole."""
    embedder: str
    articles: int
    passages: int
    bytes: int
    blobs: int
    written: int


class BackupTaken(Wire, frozen=True, kw_only=True, tag="knowledge.backup_taken"):
    """Reply to `TakeBackup`."""

    place: str
    backup: BackupInfo
    removed: list[str] = []
    """Older backups that were too many."""


class BackupRestored(Wire, frozen=True, kw_only=True, tag="knowledge.restored"):
    """Reply to `RestoreBackup`."""

    place: str
    backup: BackupInfo


class BackupProgress(Record, frozen=True, kw_only=True):
    """How far a backup or a restore is, in blobs; `total` is 0 while that is not known."""

    doing: str
    done: int
    total: int


class BackupList(Wire, frozen=True, kw_only=True, tag="knowledge.backups"):
    """Reply to `ListBackups`: newest first."""

    place: str
    backups: list[BackupInfo]
    progress: BackupProgress | None = None


class Refused(Wire, frozen=True, kw_only=True, tag="refused"):
    """Reply to any request that cannot be answered; `retryable` says whether asking again makes sense."""

    code: str
    message: str
    retryable: bool


KnowledgeRequest: TypeAlias = SearchKnowledge | GetArticle | ImportArticles | TakeBackup | RestoreBackup | ListBackups
KnowledgeReply: TypeAlias = (
    PassagesFound | Article | ArticlesImported | BackupTaken | BackupRestored | BackupList | Refused
)
