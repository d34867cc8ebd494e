"""/v1/ops/knowledge: search the knowledge base, take articles in, take and restore backups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web
from trunkline_protocols import subjects
from trunkline_protocols.knowledge import (
    ImportArticles,
    KnowledgeReply,
    ListBackups,
    Refused,
    RestoreBackup,
    SearchKnowledge,
    TakeBackup,
)

from trunkline_ingress.handlers.http import body_of, json_response
from trunkline_ingress.ports import Knowledge

_IMPORT_TIMEOUT_S: Final = 120.0
_BACKUP_TIMEOUT_S: Final = 900.0
_REFUSALS: Final[dict[str, type[web.HTTPError]]] = {
    "not_found": web.HTTPNotFound,
    "not_empty": web.HTTPConflict,
    "unavailable": web.HTTPServiceUnavailable,
}


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
            web.get("/v1/ops/knowledge/backups", self.backups),
            web.post("/v1/ops/knowledge/backups", self.take_backup),
            web.post("/v1/ops/knowledge/restore", self.restore_backup),
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

    async def backups(self, _: web.Request) -> web.Response:
        """List the backups, and say what is being done now."""
        return _answer(await self.knowledge.ask(subjects.backups(self.region), ListBackups()))

    async def take_backup(self, request: web.Request) -> web.Response:
        """Have a backup taken."""
        return await self._order(await body_of(request, TakeBackup))

    async def restore_backup(self, request: web.Request) -> web.Response:
        """Have a backup put in force."""
        return await self._order(await body_of(request, RestoreBackup))

    async def _order(self, order: TakeBackup | RestoreBackup) -> web.Response:
        subject = subjects.backups(self.region)
        return _answer(await self.knowledge.ask(subject, order, timeout_s=_BACKUP_TIMEOUT_S))


def _answer(reply: KnowledgeReply) -> web.Response:
    if isinstance(reply, Refused):
        raise _REFUSALS.get(reply.code, web.HTTPBadRequest)(text=reply.message)
    return json_response(reply)
