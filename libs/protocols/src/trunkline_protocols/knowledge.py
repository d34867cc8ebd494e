"""Messages of the knowledge service: request and reply."""

from __future__ import annotations

from typing import Final, TypeAlias

from trunkline_protocols.refusal import Refused
from trunkline_protocols.wire import Record, Wire

MIN_ANSWER_SCORE: Final = 0.5
"""Score of a passage from which on its article probably answers the question."""


class SearchKnowledge(Wire, frozen=True, kw_only=True, tag="knowledge.search"):
    """Query: passages for a question, best first."""

    query: str
    tenant: str
    topics: list[str] = []
    """Only articles with one of these topics; default: any."""
    limit: int = 5
    region: str = ""
    """Region, language and specialty of the requester exclude articles for other audiences; default: any."""
    language: str = ""
    specialty: str = ""
    internal: bool = False
    """If true, internal articles are included."""
    vector: bytes = b""
    """Message vector of `query` by `MessageAnalysed`; if empty, the knowledge service embeds the query."""
    earlier: str = ""
    """Customer's previous question, if `query` may be a follow-up to it."""
    focus: list[str] = []
    """Articles that the previous answer cited; passages of these are preferred."""
    excluded_topics: list[str] = []
    """Articles with one of these topics are not found."""


class Passage(Record, frozen=True, kw_only=True):
    """A piece of an article; `text` is verbatim.

    `score` (0 to 1) is the estimated probability that the article answers the question: below 0.5 it probably does not.
    """

    document: str
    title: str
    text: str
    score: float
    rev: int = 0
    """Article version that contains `text` verbatim."""
    headings: str = ""
    """Headings above `text` in the article."""
    internal: bool = False
    """If true, never quoted to a customer."""
    sentence_scores: list[float] = []
    """Relevance of each sentence of `text` to the question; empty if the passages were compared by words only."""
    part: int = 0
    """Index of the question in `Complete.parts` that the passage was found for."""


class PassagesFound(Wire, frozen=True, kw_only=True, tag="knowledge.passages"):
    """Reply to `SearchKnowledge`."""

    passages: list[Passage]
    stale: bool = False
    """If true, the store is unreachable and the passages come from the process' own index."""


class AnalyseMessage(Wire, frozen=True, kw_only=True, tag="knowledge.analyse"):
    """Query: vector and language of a customer's message, and the passages that an answer will need."""

    text: str
    languages: list[str] = []
    """Languages (ISO 639-1) in which the fleet answers; default: any."""
    search: SearchKnowledge | None = None
    """Search to make with the message's vector, unless its language is foreign; default: none."""


class MessageAnalysed(Wire, frozen=True, kw_only=True, tag="knowledge.analysed"):
    """Reply to `AnalyseMessage`."""

    embedder: str = ""
    """Fingerprint of the model; empty if texts are compared by words only."""
    vector: bytes = b""
    """Message vector, one int8 per component: its sentence vector, then that of the model's middle layer if any."""
    language: str = ""
    """Language of the message (ISO 639-1) if it is certainly none of the fleet's, else empty."""
    corrected: str = ""
    """The message with its typing mistakes corrected; empty if there are none."""
    passages: list[Passage] | None = None
    """Passages found, best first; None if no search was made."""


class GetArticle(Wire, frozen=True, kw_only=True, tag="knowledge.get"):
    """Query: one whole article."""

    document: str
    tenant: str
    rev: int = 0
    """0: the latest."""
    region: str = ""
    """Region, language and specialties of the requester exclude articles for other audiences; default: any."""
    language: str = ""
    specialties: list[str] = []
    """Specialties that quoted the article: it must be in the scope of one of them."""
    internal: bool = False
    """If true, internal articles are included."""


class Article(Wire, frozen=True, kw_only=True, tag="knowledge.article"):
    """A knowledge article; `text` is Markdown and contains every quote verbatim."""

    document: str
    title: str
    text: str
    rev: int = 0
    is_latest: bool = True
    internal: bool = False
    """If true, never shown to a customer."""


class ImportArticles(Wire, frozen=True, kw_only=True, tag="knowledge.import"):
    """Request: import these files. A document with a known id is replaced if it has changed."""

    tenant: str
    files: list[ArticleFile]
    source: str = ""
    """Source of the files, named by the importer."""
    more: bool = False
    """If true, another batch follows at once, and the index is refreshed after the last one."""
    prune: bool = False
    """If true (last batch), articles of this source that are not in `present` are removed."""
    present: list[str] = []


class ArticleFile(Record, frozen=True, kw_only=True):
    """A file to import, as text in `content` or as bytes in `data`; a PDF is always bytes."""

    name: str
    """Path within the import; its suffix is the format."""
    content: str = ""
    data: bytes = b""
    id: str = ""
    """Id of an article that does not name its own; default: derived from `name`."""


class ImportProblem(Record, frozen=True, kw_only=True):
    """Reason why a file, or one line of it, was rejected, or why its articles need a look."""

    name: str
    reason: str


class ArticlesImported(Wire, frozen=True, kw_only=True, tag="knowledge.imported"):
    """Reply to `ImportArticles`: counts of stored articles, and problems."""

    documents: int
    passages: int
    problems: list[ImportProblem] = []
    unchanged: int = 0
    removed: int = 0
    warnings: list[ImportProblem] = []
    """Imported articles that need a look: words of their page are missing, or they replace those of another import."""
    visible_words: int = 0
    """Words that a reader of the HTML pages sees, navigation excluded."""
    kept_words: int = 0
    """Those of them that the articles hold."""


class TakeBackup(Wire, frozen=True, kw_only=True, tag="knowledge.backup"):
    """Request: back up the whole knowledge base to the object store; imports and searches continue."""

    full: bool = False
    """If true, write all blobs, including the unchanged ones of earlier backups."""
    keep: int = 0
    """Number of backups to keep, older ones are removed; 0: the service's default."""


class RestoreBackup(Wire, frozen=True, kw_only=True, tag="knowledge.restore"):
    """Request: restore a backup; searches use the current articles until it is complete."""

    backup: str = ""
    """Id of the backup; default: the newest."""
    replace: bool = False
    """If true, restore even if articles from outside the fleet would be replaced."""


class ListBackups(Wire, frozen=True, kw_only=True, tag="knowledge.list_backups"):
    """Query: backups and the progress of a running one."""


class BackupInfo(Record, frozen=True, kw_only=True):
    """Metadata of a backup; `bytes` is its uncompressed size, `written` the number of new blobs."""

    id: str
    created_at: float
    kind: str
    """`full` or `incremental`; both can be restored on their own."""
    embedder: str
    articles: int
    passages: int
    bytes: int
    blobs: int
    written: int


class BackupTaken(Wire, frozen=True, kw_only=True, tag="knowledge.backup_taken"):
    """Reply to `TakeBackup`."""

    location: str
    backup: BackupInfo
    removed: list[str] = []
    """Ids of the older backups that were removed."""


class BackupRestored(Wire, frozen=True, kw_only=True, tag="knowledge.restored"):
    """Reply to `RestoreBackup`."""

    location: str
    backup: BackupInfo


class BackupProgress(Record, frozen=True, kw_only=True):
    """Progress of a backup or restore in blobs; `total` is 0 while unknown."""

    operation: str
    done: int
    total: int


class BackupList(Wire, frozen=True, kw_only=True, tag="knowledge.backups"):
    """Reply to `ListBackups`: newest first."""

    location: str
    backups: list[BackupInfo]
    progress: BackupProgress | None = None


KnowledgeRequest: TypeAlias = (
    SearchKnowledge | AnalyseMessage | GetArticle | ImportArticles | TakeBackup | RestoreBackup | ListBackups
)
KnowledgeReply: TypeAlias = (
    PassagesFound | MessageAnalysed | Article | ArticlesImported | BackupTaken | BackupRestored | BackupList | Refused
)
