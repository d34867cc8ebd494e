"""Articles behind citations, for the customer to whom they were quoted."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_protocols.knowledge import Article, GetArticle
from trunkline_protocols.rules.locale import language_of

from trunkline_ingress.core.citations import citing_specialties
from trunkline_ingress.core.identity import Identity
from trunkline_ingress.operator_ports import KnowledgeService
from trunkline_ingress.ports import ConversationLog


@dataclass(frozen=True, slots=True)
class CitedArticles:
    """Reads articles that a conversation cites, if its customer may still see them."""

    knowledge: KnowledgeService
    log: ConversationLog

    async def read(self, identity: Identity, document: str, rev: int) -> Article | None:
        """Return an article in the quoted version, 0 for the latest; None if it may not be seen.

        The conversation must cite the article, in this version unless it is the latest one. Region, language,
        specialty, dates and visibility exclude it as they exclude it from a search.
        """
        commits = await self.log.commits(identity.region, identity.conversation, after=0)
        specialties = citing_specialties(commits, document, rev)
        if not specialties:
            return None
        return await self._get(
            GetArticle(
                document=document,
                tenant=identity.tenant,
                rev=rev,
                region=identity.region,
                language=language_of(identity.locale),
                specialties=specialties,
            )
        )

    async def read_public(self, document: str, rev: int, region: str) -> Article | None:
        """Return an article that any customer of the default tenant may see in a region, None without one."""
        return await self._get(GetArticle(document=document, tenant="default", rev=rev, region=region))

    async def _get(self, query: GetArticle) -> Article | None:
        reply = await self.knowledge.article(query)
        return reply if isinstance(reply, Article) and not reply.internal else None
