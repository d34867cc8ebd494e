"""HTTP beside the WebSocket: the chat page with what it needs, and the operators' API."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from aiohttp import web
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError
from trunkline_protocols import codec, subjects
from trunkline_protocols.fleet import Company
from trunkline_protocols.ids import ConversationId, InvalidIdError, token
from trunkline_protocols.knowledge import (
    Article,
    GetArticle,
    ImportArticles,
    KnowledgeReply,
    KnowledgeRequest,
    Refused,
    SearchKnowledge,
)
from trunkline_protocols.presence import GetStatus

from trunkline_ingress.auth import Authenticator
from trunkline_ingress.core.trace import tell
from trunkline_ingress.ports import Line

PAGE: Final = Path(__file__).parent / "page"
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
T = TypeVar("T")
_IMPORT_TIMEOUT_S: Final = 120.0
_QUESTION_TIMEOUT_S: Final = 5.0


class _CompanyReply(msgspec.Struct):
    name: str
    description: str
    greeting: str
    examples: list[str]


class _ArticleReply(msgspec.Struct):
    document: str
    title: str
    text: str


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
class Pages:
    """Serves everything that is not the WebSocket."""

    bus: Bus
    line: Line
    region: str
    company: Company
    authenticator: Authenticator

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where is what."""
        return [
            web.get("/", self.chat_page),
            web.get("/favicon.ico", self.favicon),
            web.get("/assets/{name}", self.asset),
            web.get("/v1/company", self.about),
            web.get("/v1/articles/{document}", self.article),
            web.get("/v1/ops/status", self.status),
            web.get("/v1/ops/trace/{conversation}", self.trace),
            web.post("/v1/ops/knowledge/search", self.search),
            web.post("/v1/ops/knowledge/import", self.import_articles),
        ]

    # -- the chat page ---

    async def chat_page(self, _: web.Request) -> web.StreamResponse:
        """Serve the page itself."""
        return _file(PAGE / "index.html")

    async def favicon(self, _: web.Request) -> web.StreamResponse:
        """Serve what browsers ask for without being told."""
        return _file(PAGE / "favicon.svg")

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """Serve a file beside the page; only names that are there."""
        name = request.match_info["name"]
        found = {file.name: file for file in PAGE.iterdir() if file.is_file()}.get(name)
        if found is None:
            raise web.HTTPNotFound(text="no such file")
        return _file(found)

    async def about(self, _: web.Request) -> web.Response:
        """Tell the page whose it is."""
        company = self.company
        return _json(
            _CompanyReply(
                name=company.name,
                description=company.description,
                greeting=company.greeting,
                examples=company.examples,
            )
        )

    async def article(self, request: web.Request) -> web.Response:
        """Show the article that a citation names."""
        document = _token(request.match_info["document"], "document")
        reply = await self._ask(subjects.article(self.region), GetArticle(document=document, tenant="default"))
        if not isinstance(reply, Article):
            raise web.HTTPNotFound(text="no such article")
        return _json(_ArticleReply(document=reply.document, title=reply.title, text=reply.text))

    # -- operators ---

    async def status(self, request: web.Request) -> web.Response:
        """Tell the supervision tree."""
        self.authenticator.require_operator(request)
        try:
            raw = await self.bus.request(
                subjects.status(self.region), codec.encode(GetStatus()), timeout_s=_QUESTION_TIMEOUT_S
            )
        except BusUnavailableError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return web.Response(body=raw, content_type="application/json")

    async def trace(self, request: web.Request) -> web.Response:
        """Tell a conversation's story."""
        self.authenticator.require_operator(request)
        conversation = ConversationId(_token(request.match_info["conversation"], "conversation"))
        inbox = await self.line.inbox(self.region, conversation, after=0)
        commits = await self.line.commits(self.region, conversation, after=0)
        if not inbox and not commits:
            raise web.HTTPNotFound(text=f"no conversation {conversation}")
        return _json(tell(conversation, inbox, commits))

    async def search(self, request: web.Request) -> web.Response:
        """Search the knowledge base."""
        self.authenticator.require_operator(request)
        query = await _body(request, SearchQuery)
        reply = await self._ask(
            subjects.search(self.region),
            SearchKnowledge(query=query.query, tenant=query.tenant, topics=query.topics, limit=query.limit),
        )
        if isinstance(reply, Refused):
            raise web.HTTPBadRequest(text=reply.message)
        passages = getattr(reply, "passages", [])
        return _json(_Hits([_Hit(hit.document, hit.title, hit.text, hit.score) for hit in passages]))

    async def import_articles(self, request: web.Request) -> web.Response:
        """Take knowledge articles in."""
        self.authenticator.require_operator(request)
        order = await _body(request, ImportArticles)
        reply = await self._ask(subjects.import_articles(self.region), order, timeout_s=_IMPORT_TIMEOUT_S)
        if isinstance(reply, Refused):
            raise web.HTTPBadRequest(text=reply.message)
        return _json(reply)

    async def _ask(
        self, subject: str, question: KnowledgeRequest, *, timeout_s: float = _QUESTION_TIMEOUT_S
    ) -> KnowledgeReply:
        try:
            return codec.knowledge_reply.decode(
                await self.bus.request(subject, codec.encode(question), timeout_s=timeout_s)
            )
        except BusUnavailableError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error


def _file(path: Path) -> web.FileResponse:
    headers = {
        "Content-Security-Policy": _CSP,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return web.FileResponse(path, headers=headers)


def _json(reply: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(reply), content_type="application/json")


def _token(value: str, what: str) -> str:
    try:
        return token(value, what)
    except InvalidIdError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


async def _body(request: web.Request, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=type_)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
