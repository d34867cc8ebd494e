"""What is asked of the knowledge service, and who answers it.

SearchKnowledge  -> `Library.search`
GetArticle       -> `Library.article`
ImportArticles   -> `Library.take_in`
"""

from __future__ import annotations

from trunkline_protocols.ids import InvalidIdError
from trunkline_protocols.knowledge import (
    GetArticle,
    ImportArticles,
    KnowledgeReply,
    KnowledgeRequest,
    Refused,
    SearchKnowledge,
)

from trunkline_rag.library import Library


class Desk:
    """Where questions to the library come in."""

    def __init__(self, library: Library) -> None:
        """One a process."""
        self._library = library

    async def answer(self, request: KnowledgeRequest) -> KnowledgeReply:
        """Answer any request of this service."""
        try:
            match request:
                case SearchKnowledge():
                    return await self._library.search(request)
                case GetArticle():
                    return await self._library.article(request)
                case ImportArticles():
                    return await self._library.take_in(request)
        except InvalidIdError as error:
            return Refused(code="bad_request", message=str(error), retryable=False)
