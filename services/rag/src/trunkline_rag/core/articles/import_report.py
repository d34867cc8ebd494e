"""The report of one import: problems, warnings, and the words of its pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from trunkline_protocols.knowledge import ImportProblem

from trunkline_rag.core.articles.document import Document, ParsedItem, WordCount

MIN_WORD_SHARE: Final = 0.95
"""Share of the words of a page from which on its article is imported without a warning."""


@dataclass(slots=True)
class ImportReport:
    """Result of an import so far; no article replaces another one of the same import in silence."""

    problems: list[ImportProblem] = field(default_factory=list)
    warnings: list[ImportProblem] = field(default_factory=list)
    visible_words: int = 0
    kept_words: int = 0
    origins: dict[str, str] = field(default_factory=dict)
    """Files of the accepted articles, by id."""

    def accept(self, item: ParsedItem) -> Document | None:
        """Return an article with a new id; note a problem, or an article with a known id, which is refused."""
        if isinstance(item, ImportProblem):
            self.problems.append(item)
            return None
        if item.words is not None:
            self._count(item.origin, item.words)
        earlier = self.origins.get(item.id)
        if earlier is not None:
            reason = f"the id {item.id!r} is also that of {earlier}, which is kept"
            self.problems.append(ImportProblem(name=item.origin, reason=reason))
            return None
        self.origins[item.id] = item.origin
        return item

    def _count(self, origin: str, words: WordCount) -> None:
        self.visible_words += words.visible
        self.kept_words += words.kept
        if words.share < MIN_WORD_SHARE:
            reason = f"only {words.kept} of {words.visible} visible words are kept"
            self.warnings.append(ImportProblem(name=origin, reason=reason))
