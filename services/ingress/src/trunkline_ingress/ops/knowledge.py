"""/v1/ops/knowledge: search the knowledge base, take articles in."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from aiohttp import web
from trunkline_protocols import subjects
from trunkline_protocols.knowledge import ImportArticles, Refused, SearchKnowledge

from trunkline_ingress.http import body_of, json_response
from trunkline_ingress.ports import Knowledge

_IMPORT_TIMEOUT_S = 120.0


class _Hit(msgspec.Struct):
    document: str
    title: str
    text: str
    score: float


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class SearchQuery(msgspec.Struct):
    """Body of `POST /v1/ops/knowledge/search`."""

    query: str
    tenant: str = "default"
    topics: list[str] = []
    limit: int = 5


@dataclass(frozen=True, slots=True)
class KnowledgeOps:
    """Asks the knowledge service."""

    knowledge: Knowledge
    region: str

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where is what."""
        return [
            web.post("/v1/ops/knowledge/search", self.search),
            web.post("/v1/ops/knowledge/import", self.import_articles),
        ]

    async def search(self, request: web.Request) -> web.Response:
        """Search the knowledge base."""
        query = await body_of(request, SearchQuery)
        reply = await self.knowledge.ask(
            subjects.search(self.region),
            SearchKnowledge(query=query.query, tenant=query.tenant, topics=query.topics, limit=query.limit),
        )
        if isinstance(reply, Refused):
            raise web.HTTPBadRequest(text=reply.message)
        passages = getattr(reply, "passages", [])
        return json_response(_Hits([_Hit(hit.document, hit.title, hit.text, hit.score) for hit in passages]))

    async def import_articles(self, request: web.Request) -> web.Response:
        """Take knowledge articles in."""
        order = await body_of(request, ImportArticles)
        reply = await self.knowledge.ask(subjects.import_articles(self.region), order, timeout_s=_IMPORT_TIMEOUT_S)
        if isinstance(reply, Refused):
            raise web.HTTPBadRequest(text=reply.message)
        return json_response(reply)
