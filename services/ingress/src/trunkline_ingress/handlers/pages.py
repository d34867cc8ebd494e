"""Web pages: the chat for customers, the console for operators, their assets and public data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from trunkline_protocols.frames import NoticeFrame

from trunkline_ingress.application.session_registry import notice_frame
from trunkline_ingress.handlers.access import ANYONE, Route
from trunkline_ingress.handlers.http import json_response
from trunkline_ingress.ports import CurrentFleet, NoticeView

PAGE: Final = Path(__file__).parents[1] / "page"
_ASSETS: Final = {file.relative_to(PAGE).as_posix(): file for file in PAGE.rglob("*.*") if file.is_file()}
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)


class _CompanyReply(msgspec.Struct):
    name: str
    description: str
    greeting: str
    examples: list[str]
    notices: list[NoticeFrame]
    """Notices for all customers; a client without a conversation receives them here."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Serves the pages and the public data that they show."""

    current: CurrentFleet
    notices: NoticeView
    embed_origins: Sequence[str] = ()
    """Origins whose pages may show the chat page in a frame."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/", self.chat_page, ANYONE),
            Route("GET", "/console", self.console, ANYONE),
            Route("GET", "/favicon.ico", self.favicon, ANYONE),
            Route("GET", "/assets/{path:.+}", self.asset, ANYONE),
            Route("GET", "/v1/company", self.company, ANYONE),
        ]

    # -- pages and assets ---

    async def chat_page(self, _: web.Request) -> web.StreamResponse:
        """Serve the chat page."""
        return _file(PAGE / "chat" / "index.html", ancestors=" ".join(self.embed_origins) or "'none'")

    async def console(self, _: web.Request) -> web.StreamResponse:
        """Serve the operators' page; its data comes from the operators' API."""
        return _file(PAGE / "console" / "console.html")

    async def favicon(self, _: web.Request) -> web.StreamResponse:
        """Serve the icon that browsers request by default."""
        return _file(PAGE / "shared" / "favicon.svg")

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """Serve an asset of the pages."""
        found = _ASSETS.get(request.match_info["path"])
        if found is None:
            raise web.HTTPNotFound(text="asset not found")
        return _file(found)

    # -- data ---

    async def company(self, _: web.Request) -> web.Response:
        """Return the company's name, greeting and notices for all customers."""
        company = self.current.fleet.company
        return json_response(
            _CompanyReply(
                name=company.name,
                description=company.description,
                greeting=company.greeting,
                examples=company.examples,
                notices=[notice_frame(notice) for notice in self.notices.active("customers") if not notice.tenants],
            )
        )


def prefix_redirect(prefix: str) -> Route:
    """Return the route from a path prefix to the chat page: the addresses in the pages are relative to its slash."""

    async def redirect(request: web.Request) -> web.StreamResponse:
        query = f"?{request.query_string}" if request.query_string else ""
        raise web.HTTPPermanentRedirect(f"{prefix}/{query}")

    return Route("GET", prefix, redirect, ANYONE)


def _file(path: Path, *, ancestors: str = "'none'") -> web.FileResponse:
    headers = {
        "Content-Security-Policy": _CSP.format(ancestors=ancestors),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return web.FileResponse(path, headers=headers)
