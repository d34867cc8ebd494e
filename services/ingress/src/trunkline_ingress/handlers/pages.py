"""The pages: the chat for customers, the console for operators, and what the two need to look right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from trunkline_chassis.fleet_view import FleetView
from trunkline_chassis.notices import Notices
from trunkline_protocols import subjects
from trunkline_protocols.frames import NoticeFrame
from trunkline_protocols.knowledge import Article, GetArticle

from trunkline_ingress.application.session_registry import notice_frame
from trunkline_ingress.handlers.http import json_response, token_of
from trunkline_ingress.ports import Knowledge

PAGE: Final = Path(__file__).parents[1] / "page"
_ASSETS: Final = {file.relative_to(PAGE).as_posix(): file for file in PAGE.rglob("*.*") if file.is_file()}
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _CompanyReply(msgspec.Struct):
    name: str
    description: str
    greeting: str
    examples: list[str]
    notices: list[NoticeFrame]
    """Broadcasts for every customer: who has no conversation yet is told here."""


class _ArticleReply(msgspec.Struct):
    document: str
    title: str
    text: str
    rev: int
    is_latest: bool


@dataclass(frozen=True, slots=True)
class Pages:
    """Serves what browsers ask for."""

    knowledge: Knowledge
    region: str
    fleets: FleetView
    notices: Notices

    def routes(self) -> list[web.AbstractRouteDef]:
        """Where is what."""
        return [
            web.get("/", self.chat_page),
            web.get("/console", self.console),
            web.get("/favicon.ico", self.favicon),
            web.get("/assets/{path:.+}", self.asset),
            web.get("/v1/company", self.about),
            web.get("/v1/articles/{document}", self.article),
        ]

    # -- the chat page ---

    async def chat_page(self, _: web.Request) -> web.StreamResponse:
        """Serve the page itself."""
        return _file(PAGE / "chat" / "index.html")

    async def console(self, _: web.Request) -> web.StreamResponse:
        """Serve the operators' page; what it shows, the operators' API tells those who may know."""
        return _file(PAGE / "console" / "console.html")

    async def favicon(self, _: web.Request) -> web.StreamResponse:
        """Serve what browsers ask for without being told."""
        return _file(PAGE / "shared" / "favicon.svg")

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """Serve a file beside the page; only names that are there."""
        found = _ASSETS.get(request.match_info["path"])
        if found is None:
            raise web.HTTPNotFound(text="no such file")
        return _file(found)

    async def about(self, _: web.Request) -> web.Response:
        """Tell the page whose it is."""
        company = self.fleets.fleet.company
        return json_response(
            _CompanyReply(
                name=company.name,
                description=company.description,
                greeting=company.greeting,
                examples=company.examples,
                notices=[notice_frame(notice) for notice in self.notices.active("customers") if not notice.tenants],
            )
        )

    async def article(self, request: web.Request) -> web.Response:
        """Show the article that a citation names, in the version that it quotes; internal ones do not exist here."""
        document = token_of(request, "document")
        rev = request.query.get("rev", "0")
        query = GetArticle(document=document, tenant="default", rev=int(rev) if rev.isdecimal() else 0)
        reply = await self.knowledge.ask(subjects.article(self.region), query)
        if not isinstance(reply, Article) or reply.internal:
            raise web.HTTPNotFound(text="no such article")
        return json_response(
            _ArticleReply(
                document=reply.document,
                title=reply.title,
                text=reply.text,
                rev=reply.rev,
                is_latest=reply.is_latest,
            )
        )


def _file(path: Path) -> web.FileResponse:
    headers = {
        "Content-Security-Policy": _CSP,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return web.FileResponse(path, headers=headers)
