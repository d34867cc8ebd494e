"""/v1/ops/knowledge: search the knowledge base, import articles, take and restore backups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web
from trunkline_protocols.knowledge import (
    ImportArticles,
    KnowledgeReply,
    PassagesFound,
    RestoreBackup,
    SearchKnowledge,
    TakeBackup,
)
from trunkline_protocols.refusal import Refused

from trunkline_ingress.core.operators import ADMINS, LEADS, VIEWERS
from trunkline_ingress.handlers.access import Route, operators
from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.operator_ports import KnowledgeService

_ERRORS_BY_CODE: Final[dict[str, type[web.HTTPError]]] = {
    "not_found": web.HTTPNotFound,
    "not_empty": web.HTTPConflict,
    "unavailable": web.HTTPServiceUnavailable,
}


class _Hit(msgspec.Struct):
    document: str
    title: str
    text: str
    score: float


class _SearchReply(msgspec.Struct):
    hits: list[_Hit]


class SearchQuery(msgspec.Struct):
    """Body of `POST /v1/ops/knowledge/search`."""

    query: str
    tenant: str = "default"
    topics: list[str] = []
    limit: int = 5


@dataclass(frozen=True, slots=True)
class KnowledgeOps:
    """Handlers for the knowledge base."""

    knowledge: KnowledgeService

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("POST", "/v1/ops/knowledge/search", self.search, operators(VIEWERS)),
            Route("POST", "/v1/ops/knowledge/import", self.import_articles, operators(LEADS)),
            Route("GET", "/v1/ops/knowledge/backups", self.backups, operators(VIEWERS)),
            Route("POST", "/v1/ops/knowledge/backups", self.take_backup, operators(ADMINS)),
            Route("POST", "/v1/ops/knowledge/restore", self.restore_backup, operators(ADMINS)),
        ]

    async def search(self, request: web.Request) -> web.Response:
        """Search the knowledge base."""
        query = await body_of(request, SearchQuery)
        reply = await self.knowledge.search(
            SearchKnowledge(query=query.query, tenant=query.tenant, topics=query.topics, limit=query.limit)
        )
        if isinstance(reply, Refused):
            raise web.HTTPBadRequest(text=reply.message)
        passages = reply.passages if isinstance(reply, PassagesFound) else []
        return json_response(_SearchReply([_Hit(hit.document, hit.title, hit.text, hit.score) for hit in passages]))

    async def import_articles(self, request: web.Request) -> web.Response:
        """Import articles."""
        reply = await self.knowledge.import_articles(await body_of(request, ImportArticles))
        if isinstance(reply, Refused):
            raise web.HTTPBadRequest(text=reply.message)
        return json_response(reply)

    async def backups(self, _: web.Request) -> web.Response:
        """Return the backups, and the backup or restore in progress."""
        return _response(await self.knowledge.list_backups())

    async def take_backup(self, request: web.Request) -> web.Response:
        """Take a backup."""
        return _response(await self.knowledge.run_backup(await body_of(request, TakeBackup)))

    async def restore_backup(self, request: web.Request) -> web.Response:
        """Restore a backup."""
        return _response(await self.knowledge.run_backup(await body_of(request, RestoreBackup)))


def _response(reply: KnowledgeReply) -> web.Response:
    if isinstance(reply, Refused):
        raise _ERRORS_BY_CODE.get(reply.code, web.HTTPBadRequest)(text=reply.message)
    return json_response(reply)
